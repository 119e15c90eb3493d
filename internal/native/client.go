package native

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// ClientConfig is what a client is made of.
type ClientConfig struct {
	// Pick is the connection to make a call on. It waits for one within ctx: as long as it
	// takes if waitForReady, and otherwise until an attempt to connect has failed. Its errors
	// have a status, but for those of ctx.
	Pick func(ctx context.Context, waitForReady bool) (*Conn, error)

	// HTTP2 is a client of grpc-go's for servers that know no direct transport, or nil.
	// It waits as Pick does until that is known.
	HTTP2 func(ctx context.Context, waitForReady bool) grpc.ClientConnInterface

	// Stub is what interceptors get as their *grpc.ClientConn. It isn't dialled.
	Stub *grpc.ClientConn

	Unary  grpc.UnaryClientInterceptor  // or nil
	Stream grpc.StreamClientInterceptor // or nil
	Stats  []stats.Handler

	CallOptions []grpc.CallOption // of all calls, before their own
	PerRPC      []credentials.PerRPCCredentials
	Authority   string
	UserAgent   string
}

// Client makes calls. Its methods may be called from many goroutines at once.
type Client struct {
	cfg ClientConfig
}

var _ grpc.ClientConnInterface = (*Client)(nil)

// NewClient makes a client.
func NewClient(cfg ClientConfig) *Client { return &Client{cfg: cfg} }

// Invoke implements [grpc.ClientConnInterface].
func (c *Client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	opts = c.options(opts)
	if c.cfg.Unary != nil {
		return c.cfg.Unary(ctx, method, args, reply, c.cfg.Stub, c.invoke, opts...)
	}
	return c.invoke(ctx, method, args, reply, nil, opts...)
}

// NewStream implements [grpc.ClientConnInterface].
func (c *Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	opts = c.options(opts)
	if c.cfg.Stream != nil {
		return c.cfg.Stream(ctx, desc, c.cfg.Stub, method, c.newStream, opts...)
	}
	return c.newStream(ctx, desc, nil, method, opts...)
}

// options puts the options of all calls before those of one.
func (c *Client) options(opts []grpc.CallOption) []grpc.CallOption {
	switch {
	case len(c.cfg.CallOptions) == 0:
		return opts
	case len(opts) == 0:
		return c.cfg.CallOptions
	}
	all := make([]grpc.CallOption, 0, len(c.cfg.CallOptions)+len(opts))
	return append(append(all, c.cfg.CallOptions...), opts...)
}

// invoke makes a unary call. It has the type of a [grpc.UnaryInvoker]; the connection among
// its arguments is the stub, and of no use.
func (c *Client) invoke(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	call := clientCall{client: c, ctx: ctx, method: method, desc: unaryDesc}
	if err := call.info.read(opts); err != nil {
		return call.fail(err)
	}
	if cc := c.cfg.HTTP2(ctx, call.info.waitForReady); cc != nil {
		return cc.Invoke(ctx, method, args, reply, opts...)
	}
	msg, err := call.encode(args)
	if err != nil {
		return call.fail(err)
	}
	defer msg.free()
	if err := call.open(&msg); err != nil {
		return call.fail(err)
	}
	err = call.recvOne(reply)
	call.finish(err)
	call.stream.Recycle()
	return err
}

var unaryDesc = &grpc.StreamDesc{}

// newStream begins a stream. It has the type of a [grpc.Streamer].
func (c *Client) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &clientStream{clientCall: clientCall{client: c, method: method, desc: desc}}
	if err := s.info.read(opts); err != nil {
		return nil, s.fail(err)
	}
	if cc := c.cfg.HTTP2(ctx, s.info.waitForReady); cc != nil {
		return cc.NewStream(ctx, desc, method, opts...)
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.open(nil); err != nil {
		s.cancel()
		return nil, s.fail(err)
	}
	s.watch()
	return s, nil
}

// callError is the error, with a status, of a call whose stream or connection failed.
func callError(err error) error {
	var large *direct.MessageTooLargeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return tooLarge(large)
	case errors.Is(err, direct.ErrClosed):
		return ErrClientClosing
	case errors.Is(err, direct.ErrPeerGone):
		return status.Error(codes.Unavailable, "error reading from server: the server's end of the connection is gone")
	case errors.Is(err, direct.ErrProtocol):
		return status.Error(codes.Unavailable, "connection given up: "+err.Error())
	case errors.Is(err, direct.ErrTooLarge):
		return status.Errorf(codes.Internal, "header list size to send violates the maximum size (%d bytes) set by server", direct.MaxBlock)
	case errors.Is(err, direct.ErrRefused), errors.Is(err, direct.ErrGoAway):
		return status.Error(codes.Unavailable, "the server takes no calls: "+err.Error())
	}
	return toStatus(err)
}
