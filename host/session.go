package host

import (
	"context"
	"encoding/hex"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/carp-rpc/carp-go/internal/bothways"
)

// sessionKey names the link that a call beside it belongs to.
const sessionKey = "carp-session"

// maxSession bounds the session that a peer gives out.
const maxSession = 64

func newSession() string { return hex.EncodeToString(randomBytes()) }

// session is what calls beside the link carry, so that the peer knows to which
// link they belong.
func (l *Link) session() string { return l.theirSession }

// networkKeepalive is how long a peer on the network may be silent before it is
// asked whether it lives. The death of one on the same machine shows at once.
const networkKeepalive = 15 * time.Second

func keepaliveOf(p *peer.Peer) time.Duration {
	if p == nil || p.Addr == nil || p.Addr.Network() != "tcp" {
		return 0
	}
	return networkKeepalive
}

// wayBack is the other direction of the connection by which the call came that
// ctx is the context of, or nil if it carries calls one way only.
func wayBack(ctx context.Context) grpc.ClientConnInterface {
	c, ok := grpc.ServerTransportStreamFromContext(ctx).(*call)
	if !ok {
		return nil
	}
	w, ok := c.wire.(*grpcWire)
	if !ok {
		return nil
	}
	if rpc := bothways.Caller(w.stream.Context()); rpc != nil {
		return &backConn{rpc: rpc}
	}
	return nil
}

// backConn makes calls to the end of a direct connection that dialled. They end
// with the link, even if the connection doesn't.
type backConn struct {
	rpc  grpc.ClientConnInterface
	over context.Context //nolint:containedctx // the link's
}

var (
	_ grpc.ClientConnInterface = (*backConn)(nil)
	_ bothways.RawInvoker      = (*backConn)(nil)
)

// Invoke implements [grpc.ClientConnInterface].
func (c *backConn) Invoke(ctx context.Context, path string, in, out any, opts ...grpc.CallOption) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.rpc.Invoke(ctx, path, in, out, opts...)
}

// InvokeRaw implements [bothways.RawInvoker].
func (c *backConn) InvokeRaw(ctx context.Context, call *bothways.RawCall) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return call.Over(ctx, c.rpc)
}

// NewStream implements [grpc.ClientConnInterface].
func (c *backConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, cancel := c.bound(ctx)
	opts = append(opts[:len(opts):len(opts)], grpc.OnFinish(func(error) { cancel() }))
	s, err := c.rpc.NewStream(ctx, desc, path, opts...)
	if err != nil {
		cancel()
	}
	return s, err
}

func (c *backConn) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.over, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
