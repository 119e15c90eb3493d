package dialer

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// NoID stands for a user or group that the system does not tell.
const NoID = ^uint32(0)

// AuthInfo is what a handler or interceptor finds in [peer.Peer.AuthInfo] of a
// unix or shm connection; [PeerFromContext] is the short way to it. The security
// level is PrivacyAndIntegrity: such a connection never leaves the machine.
type AuthInfo struct {
	credentials.CommonAuthInfo

	// PID, UID and GID are the peer's. Where the system does not tell them, PID
	// is 0 and the others are [NoID]. The process may have exited since, and its
	// PID been given to another: decide by UID.
	PeerCred
}

var (
	_ credentials.AuthInfo           = AuthInfo{}
	_ credentials.AuthorityValidator = AuthInfo{}
)

func newAuthInfo(p PeerCred) AuthInfo {
	return AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		PeerCred:       p,
	}
}

// AuthType returns "peercred".
func (AuthInfo) AuthType() string { return securityProtocol }

// ValidateAuthority allows any :authority: a local socket has no name to check it
// against.
func (AuthInfo) ValidateAuthority(string) error { return nil }

// PeerFromContext returns the process that made the call which ctx belongs to. It
// reports false for a call that came over tcp, or by credentials other than
// [Credentials].
func PeerFromContext(ctx context.Context) (PeerCred, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return PeerCred{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.PeerCred, ok
}
