package host

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

// CallerInfo is who has made a call, or is at the other end of a link.
type CallerInfo struct {
	// HostID and Label are what the calling host says of itself. They are empty
	// if the caller is no host: any gRPC client may call. Another host can't take
	// the id of one that is linked; a label is what anybody likes.
	HostID, Label string
	// Local tells that the caller is the called host itself.
	Local bool
	// Link leads to the calling host; nil if it is this one, or none.
	Link *Link
	// Peer is the address and what is known of who is there: a [dialer.AuthInfo]
	// over unix sockets and shared memory, the TLS state over TCP with TLS. It
	// must not be changed.
	Peer *peer.Peer
}

// Caller tells, in an exported function, a handler of a generated service or an
// interceptor, who has made the call that ctx belongs to. It is false if ctx
// belongs to no call of a host.
func Caller(ctx context.Context) (CallerInfo, bool) {
	c, ok := grpc.ServerTransportStreamFromContext(ctx).(*call)
	if !ok {
		return CallerInfo{}, false
	}
	return c.caller(ctx), true
}

func (c *call) caller(ctx context.Context) CallerInfo {
	var info CallerInfo
	info.Peer, _ = peer.FromContext(ctx)
	switch {
	case c.link != nil:
		info = c.link.info()
	case info.Peer != nil && info.Peer.Addr == localAddr{}:
		info.HostID, info.Label, info.Local = c.host.id, c.host.label, true
	}
	return info
}

// info is who is at the other end.
func (l *Link) info() CallerInfo {
	hello := l.frames.Peer()
	info := CallerInfo{HostID: hello.GetHostId(), Label: hello.GetLabel(), Peer: l.peer}
	if info.HostID != "" {
		info.Link = l
	}
	return info
}
