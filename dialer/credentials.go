package dialer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"google.golang.org/grpc/credentials"

	"github.com/carp-rpc/carp-go/internal/unixsock"
	"github.com/carp-rpc/carp-go/shmconn"
)

// securityProtocol is the name of this package's credentials.
const securityProtocol = "peercred"

// Credentials returns the transport credentials of the default [Config].
func Credentials() credentials.TransportCredentials { return (*Config)(nil).Credentials() }

// Credentials returns transport credentials that choose by the connection, so that
// one grpc.Server serves unix, shm and tcp listeners at once:
//
//   - On unix and shm the kernel says who the peer is and [Config.Allow] decides
//     (default: the same user, or root). The call's peer has an [AuthInfo].
//   - Everything else is handed to [Config.TCP].
//
// A conn that another package wrapped is recognised if it has one of the methods
//
//	PeerCred() dialer.PeerCred
//	SyscallConn() (syscall.RawConn, error)
//	NetConn() net.Conn
//
// and refused otherwise. A refused gRPC client gets the status PermissionDenied
// with the reason.
//
// Clients take them through [GRPC]. By themselves they fit a client of a unix or
// shm target; a client of a tcp target should be given Config.TCP itself, for gRPC
// asks credentials before there is a connection whether they are TLS.
func (c *Config) Credentials() credentials.TransportCredentials {
	return &peerCredentials{cfg: c.values(), refuser: newRefuser()}
}

type peerCredentials struct {
	cfg     Config // its TCP is this value's own once cloned
	refuser *refuser
}

// ServerHandshake implements [credentials.TransportCredentials].
func (p *peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if !isLocal(conn) {
		tcp, err := p.tcp(conn)
		if err != nil {
			return nil, nil, err
		}
		return tcp.ServerHandshake(conn)
	}
	info, err := p.authenticate(conn)
	if err == nil {
		return conn, info, nil
	}
	p.cfg.Logger.Warn("connection refused", "error", err)
	if p.refuser.refuse(conn, err) {
		return nil, nil, credentials.ErrConnDispatched
	}
	return nil, nil, err
}

// ClientHandshake implements [credentials.TransportCredentials].
func (p *peerCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if !isLocal(conn) {
		tcp, err := p.tcp(conn)
		if err != nil {
			return nil, nil, err
		}
		return tcp.ClientHandshake(ctx, authority, conn)
	}
	info, err := p.authenticate(conn)
	if err != nil {
		return nil, nil, err
	}
	return conn, info, nil
}

// tcp returns the credentials for a conn that is not local.
func (p *peerCredentials) tcp(conn net.Conn) (credentials.TransportCredentials, error) {
	if p.cfg.TCP == nil {
		return nil, fmt.Errorf("connection on %s %s: %w", conn.LocalAddr().Network(), conn.LocalAddr(), ErrNoCredentials)
	}
	return p.cfg.TCP, nil
}

// authenticate applies the rule to a local conn's peer.
func (p *peerCredentials) authenticate(conn net.Conn) (credentials.AuthInfo, error) {
	peer, err := peerCred(conn)
	unknown := errors.Is(err, errors.ErrUnsupported)
	switch {
	case unknown && p.cfg.Allow == nil:
		return newAuthInfo(PeerCred{UID: NoID, GID: NoID}), nil
	case err != nil:
		return nil, fmt.Errorf("connection on %s: %w", socketName(conn), err)
	}
	allow := p.cfg.Allow
	if allow == nil {
		allow = shmconn.SameUser
	}
	if err := allow(peer); err != nil {
		return nil, &RefusedError{Addr: socketName(conn), Peer: peer, Err: err}
	}
	return newAuthInfo(peer), nil
}

// isLocal reports whether conn is a unix or shm connection. Each end asks its own
// address, which no peer has a say in.
func isLocal(conn net.Conn) bool { return conn.LocalAddr().Network() == "unix" }

// socketName is the address of the listening end, which alone has a name.
func socketName(conn net.Conn) string {
	for _, a := range []net.Addr{conn.LocalAddr(), conn.RemoteAddr()} {
		if t := TargetOf(a); t != "" && t != "unix:" && t != "unix-abstract:" && t != "shm:" {
			return t
		}
	}
	return "an unnamed unix socket"
}

// peerCred looks for whatever tells of conn's peer, through wrappers that let it.
func peerCred(conn net.Conn) (PeerCred, error) {
	for c := conn; ; {
		switch v := c.(type) {
		case interface{ PeerCred() PeerCred }:
			return v.PeerCred(), nil
		case syscall.Conn:
			cred, err := unixsock.PeerCred(v)
			return PeerCred(cred), err
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return PeerCred{}, fmt.Errorf("%T hides the socket and so the peer's credentials: it needs a method PeerCred, SyscallConn or NetConn", c)
		}
	}
}

// Info implements [credentials.TransportCredentials].
func (p *peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: securityProtocol}
}

// Clone implements [credentials.TransportCredentials].
func (p *peerCredentials) Clone() credentials.TransportCredentials {
	clone := *p
	if p.cfg.TCP != nil {
		clone.cfg.TCP = p.cfg.TCP.Clone()
	}
	return &clone
}

// OverrideServerName implements [credentials.TransportCredentials]. Only the
// credentials for tcp have a use for a name.
//
// Deprecated: as in gRPC; use grpc.WithAuthority.
func (p *peerCredentials) OverrideServerName(name string) error {
	if p.cfg.TCP == nil {
		return nil
	}
	return p.cfg.TCP.OverrideServerName(name)
}
