package rpctest_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// The parts of broken stacks: each takes the reference and spoils one thing.

// broken is the reference with spoiled settings, clients or endpoints.
type broken struct {
	server   func(*rpctest.ServerConfig)
	client   func(*rpctest.ClientConfig)
	conn     func(*grpc.ClientConn) rpctest.Conn
	endpoint func(rpctest.Endpoint) rpctest.Endpoint
}

func (b broken) stack() rpctest.Stack {
	ref := rpctest.Reference()
	return rpctest.Stack{Name: "broken", Start: func(tb testing.TB, cfg rpctest.ServerConfig) rpctest.Endpoint {
		if b.server != nil {
			b.server(&cfg)
		}
		ep := brokenEndpoint{ref.Start(tb, cfg), b}
		if b.endpoint != nil {
			return b.endpoint(ep)
		}
		return ep
	}}
}

type brokenEndpoint struct {
	rpctest.Endpoint
	b broken
}

func (e brokenEndpoint) Dial(tb testing.TB, cfg rpctest.ClientConfig) rpctest.Conn {
	if e.b.client != nil {
		e.b.client(&cfg)
	}
	c := e.Endpoint.Dial(tb, cfg)
	if e.b.conn != nil {
		return e.b.conn(c.(*grpc.ClientConn))
	}
	return c
}

// conn is a client whose calls can be spoiled.
type conn struct {
	*grpc.ClientConn
	before func(ctx context.Context, opts []grpc.CallOption) (context.Context, []grpc.CallOption)
	after  func(ctx context.Context, reply any, opts []grpc.CallOption, err error) error
	stream func(grpc.ClientStream) grpc.ClientStream
	close  func(*grpc.ClientConn) error
}

func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	sent, given := ctx, opts
	if c.before != nil {
		sent, given = c.before(ctx, opts)
	}
	err := c.ClientConn.Invoke(sent, method, args, reply, given...)
	if c.after != nil {
		return c.after(ctx, reply, opts, err)
	}
	return err
}

func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if c.before != nil {
		ctx, opts = c.before(ctx, opts)
	}
	cs, err := c.ClientConn.NewStream(ctx, desc, method, opts...)
	if err == nil && c.stream != nil {
		cs = c.stream(cs)
	}
	return cs, err
}

func (c conn) Close() error {
	if c.close != nil {
		return c.close(c.ClientConn)
	}
	return c.ClientConn.Close()
}

// before, after, stream and closing make a broken stack of one spoiled thing.

func before(f func(context.Context, []grpc.CallOption) (context.Context, []grpc.CallOption)) broken {
	return broken{conn: func(cc *grpc.ClientConn) rpctest.Conn { return conn{ClientConn: cc, before: f} }}
}

func after(f func(ctx context.Context, reply any, opts []grpc.CallOption, err error) error) broken {
	return broken{conn: func(cc *grpc.ClientConn) rpctest.Conn { return conn{ClientConn: cc, after: f} }}
}

func afterError(f func(error) error) broken {
	return after(func(_ context.Context, _ any, _ []grpc.CallOption, err error) error { return f(err) })
}

func stream(f func(grpc.ClientStream) grpc.ClientStream) broken {
	return broken{conn: func(cc *grpc.ClientConn) rpctest.Conn { return conn{ClientConn: cc, stream: f} }}
}

func closing(f func(*grpc.ClientConn) error) broken {
	return broken{conn: func(cc *grpc.ClientConn) rpctest.Conn { return conn{ClientConn: cc, close: f} }}
}

// without drops the call options of one type.
func without[O grpc.CallOption]() broken {
	return before(func(ctx context.Context, opts []grpc.CallOption) (context.Context, []grpc.CallOption) {
		var kept []grpc.CallOption
		for _, o := range opts {
			if _, drop := o.(O); !drop {
				kept = append(kept, o)
			}
		}
		return ctx, kept
	})
}

// otherContext calls with another context than the caller's.
func otherContext(f func(context.Context) context.Context) broken {
	return before(func(ctx context.Context, opts []grpc.CallOption) (context.Context, []grpc.CallOption) {
		return f(ctx), opts
	})
}

// unaryServer and streamServer put an interceptor in front of all others.
func unaryServer(i grpc.UnaryServerInterceptor) broken {
	return broken{server: func(cfg *rpctest.ServerConfig) {
		cfg.UnaryInterceptors = append([]grpc.UnaryServerInterceptor{i}, cfg.UnaryInterceptors...)
	}}
}

func streamServer(wrap func(grpc.ServerStream) grpc.ServerStream) broken {
	return broken{server: func(cfg *rpctest.ServerConfig) {
		i := func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, wrap(ss))
		}
		cfg.StreamInterceptors = append([]grpc.StreamServerInterceptor{i}, cfg.StreamInterceptors...)
	}}
}

// spoiledStream is a client stream with some methods replaced.
type spoiledStream struct {
	grpc.ClientStream
	header    func() (metadata.MD, error)
	trailer   func() metadata.MD
	send      func(any) error
	recv      func(any) error
	closeSend func() error
	context   func() context.Context
}

func (s spoiledStream) Header() (metadata.MD, error) {
	if s.header != nil {
		return s.header()
	}
	return s.ClientStream.Header()
}

func (s spoiledStream) Trailer() metadata.MD {
	if s.trailer != nil {
		return s.trailer()
	}
	return s.ClientStream.Trailer()
}

func (s spoiledStream) SendMsg(m any) error {
	if s.send != nil {
		return s.send(m)
	}
	return s.ClientStream.SendMsg(m)
}

func (s spoiledStream) RecvMsg(m any) error {
	if s.recv != nil {
		return s.recv(m)
	}
	return s.ClientStream.RecvMsg(m)
}

func (s spoiledStream) CloseSend() error {
	if s.closeSend != nil {
		return s.closeSend()
	}
	return s.ClientStream.CloseSend()
}

func (s spoiledStream) Context() context.Context {
	if s.context != nil {
		return s.context()
	}
	return s.ClientStream.Context()
}

// spoiledServerStream is a server stream with some methods replaced.
type spoiledServerStream struct {
	grpc.ServerStream
	send    func(any) error
	recv    func(any) error
	header  func(metadata.MD) error
	context context.Context
}

func (s spoiledServerStream) SendMsg(m any) error {
	if s.send != nil {
		return s.send(m)
	}
	return s.ServerStream.SendMsg(m)
}

func (s spoiledServerStream) RecvMsg(m any) error {
	if s.recv != nil {
		return s.recv(m)
	}
	return s.ServerStream.RecvMsg(m)
}

func (s spoiledServerStream) SendHeader(md metadata.MD) error {
	if s.header != nil {
		return s.header(md)
	}
	return s.ServerStream.SendHeader(md)
}

func (s spoiledServerStream) Context() context.Context {
	if s.context != nil {
		return s.context
	}
	return s.ServerStream.Context()
}
