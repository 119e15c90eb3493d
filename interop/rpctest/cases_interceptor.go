package rpctest

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// interceptorCases are about interceptors of both kinds on both sides.
func interceptorCases() []testCase {
	return []testCase{
		{
			name: "interceptor/order",
			rule: "Chained interceptors nest: the first given is the outermost, on both sides and for both kinds of call.",
			run:  interceptorOrder,
		},
		{
			name: "interceptor/what they are told, client",
			rule: "Client interceptors get the method, the connection as a *grpc.ClientConn that is not nil, the description of the stream, and the default call options before those of the call.",
			run:  clientInterceptorArguments,
		},
		{
			name: "interceptor/what they are told, server",
			rule: "Server interceptors get the method, the implementation and the kind of stream.",
			run:  serverInterceptorArguments,
		},
		{
			name: "interceptor/rewriting, unary",
			rule: "Interceptors may replace request, reply, context and error of a unary call.",
			run:  rewritingUnary,
		},
		{
			name: "interceptor/rewriting, stream",
			rule: "Interceptors may wrap a stream, and what the wrapper does is what counts.",
			run:  rewritingStream,
		},
		{
			name: "interceptor/not going on",
			rule: "An interceptor that does not call on answers by itself, and nobody behind it sees the call.",
			run:  interceptorAnswers,
		},
		{
			name: "interceptor/calling twice",
			rule: "A client interceptor may call on more than once: each is a call of its own.",
			run: func(e *env) {
				c := e.dial(e.serve(handlers{unary: func(_ context.Context, m *message) (*message, error) {
					e.server("%s", showMessage(m))
					return nil, status.Error(codes.Unavailable, "not yet")
				}}), func(cfg *ClientConfig) {
					cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
						first := invoke(ctx, method, req, reply, cc, opts...)
						return errors.Join(first, invoke(ctx, method, req, reply, cc, opts...))
					}}
				})
				e.client("%s", showReply(c.unary(e.ctx, text("again"))))
			},
		},
		{
			name: "interceptor/changing the method",
			rule: "A client interceptor may call another method.",
			run: func(e *env) {
				c := e.dial(e.serve(handlers{unary: echoUnary}), func(cfg *ClientConfig) {
					cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(ctx context.Context, _ string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
						return invoke(ctx, unaryMethod, req, reply, cc, opts...)
					}}
				})
				out := new(message)
				err := c.Invoke(e.ctx, "/no.such.Service/Method", text("x"), out)
				e.client("%s", showReply(out, err))
			},
		},
		{
			name: "interceptor/own call options",
			rule: "A call option of a type that embeds grpc.EmptyCallOption reaches the interceptors and changes nothing else.",
			run: func(e *env) {
				c := e.dial(e.serve(handlers{unary: echoUnary, bidi: echoStream(e)}), func(cfg *ClientConfig) {
					cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
						e.client("unary %s", showOptions(opts))
						return invoke(ctx, method, req, reply, cc, opts...)
					}}
					cfg.StreamInterceptors = []grpc.StreamClientInterceptor{func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
						e.client("stream %s", showOptions(opts))
						return open(ctx, desc, cc, method, opts...)
					}}
					cfg.CallOptions = []grpc.CallOption{ownOption{value: "default"}}
				})
				e.client("%s", showReply(c.unary(e.ctx, text("x"), ownOption{value: "of the call"})))
				cs, err := c.bidi(e.ctx, ownOption{value: "of the stream"})
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.recv(cs)
			},
		},
		{
			name: "interceptor/none of the other kind",
			rule: "Unary interceptors don't see streams, and stream interceptors don't see unary calls.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: echoUnary, bidi: echoStream(e)}, func(cfg *ServerConfig) {
					cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{noteUnaryServer(e, "unary")}
					cfg.StreamInterceptors = []grpc.StreamServerInterceptor{noteStreamServer(e, "stream")}
				})
				c := e.dial(ep)
				e.client("%s", showReply(c.unary(e.ctx, text("x"))))
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.recv(cs)
				e.client("unknown method: %s", showError(c.Invoke(e.ctx, "/"+serviceName+"/None", text("x"), new(message))))
			},
		},
	}
}

// ownOption is an application's call option.
type ownOption struct {
	grpc.EmptyCallOption
	value string
}

func showOptions(opts []grpc.CallOption) string {
	s := ""
	for _, o := range opts {
		if own, ok := o.(ownOption); ok {
			s += fmt.Sprintf("%T(%s) ", o, own.value)
		} else {
			s += fmt.Sprintf("%T ", o)
		}
	}
	return s
}

func noteUnaryServer(e *env, name string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		e.server("%s in: %s", name, info.FullMethod)
		reply, err := next(ctx, req)
		e.server("%s out: %s, %s", name, showAny(reply), showError(err))
		return reply, err
	}
}

func noteStreamServer(e *env, name string) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		e.server("%s in: %+v", name, *info)
		err := next(srv, ss)
		e.server("%s out: %s", name, showError(err))
		return err
	}
}

func interceptorOrder(e *env) {
	unary := func(name string) grpc.UnaryClientInterceptor {
		return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			e.client("%s in", name)
			err := invoke(ctx, method, req, reply, cc, opts...)
			e.client("%s out: %s, %s", name, showAny(reply), showError(err))
			return err
		}
	}
	stream := func(name string) grpc.StreamClientInterceptor {
		return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			e.client("%s in", name)
			cs, err := open(ctx, desc, cc, method, opts...)
			e.client("%s out: %s", name, showError(err))
			return cs, err
		}
	}
	ep := e.serve(handlers{unary: echoUnary, bidi: echoStream(e)}, func(cfg *ServerConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{noteUnaryServer(e, "1"), noteUnaryServer(e, "2"), noteUnaryServer(e, "3")}
		cfg.StreamInterceptors = []grpc.StreamServerInterceptor{noteStreamServer(e, "1"), noteStreamServer(e, "2"), noteStreamServer(e, "3")}
	})
	c := e.dial(ep, func(cfg *ClientConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{unary("1"), unary("2"), unary("3")}
		cfg.StreamInterceptors = []grpc.StreamClientInterceptor{stream("1"), stream("2"), stream("3")}
	})
	e.client("%s", showReply(c.unary(e.ctx, text("x"))))
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.send(cs, "y")
	e.recv(cs)
	e.closeSend(cs)
	e.recv(cs)
}

func clientInterceptorArguments(e *env) {
	ep := e.serve(handlers{unary: echoUnary, bidi: echoStream(e)})
	c := e.dial(ep, func(cfg *ClientConfig) {
		cfg.CallOptions = []grpc.CallOption{grpc.MaxCallRecvMsgSize(1 << 20)}
		cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			e.client("unary %s, connection %v, %s, %s", method, cc != nil, showAny(req), showAny(reply))
			e.client("options %s", showOptions(opts))
			return invoke(ctx, method, req, reply, cc, opts...)
		}}
		cfg.StreamInterceptors = []grpc.StreamClientInterceptor{func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			e.client("stream %s, connection %v, %s %v %v", method, cc != nil, desc.StreamName, desc.ClientStreams, desc.ServerStreams)
			e.client("options %s", showOptions(opts))
			return open(ctx, desc, cc, method, opts...)
		}}
	})
	e.client("%s", showReply(c.unary(e.ctx, text("x"), grpc.WaitForReady(true))))
	cs, err := c.bidi(e.ctx, grpc.StaticMethod())
	e.client("open: %s", showError(err))
	e.closeSend(cs)
	e.recv(cs)
}

// implementation is what the service is registered with.
type implementation struct{ name string }

func serverInterceptorArguments(e *env) {
	h := handlers{unary: echoUnary, bidi: echoStream(e), clientStream: func(ss grpc.ServerStream) error { return ss.SendMsg(text("")) },
		serverStream: func(ss grpc.ServerStream) error { return nil }}
	ep := e.serve(h, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { r.RegisterService(h.desc(e), &implementation{"impl"}) }
		cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			method, ok := grpc.Method(ctx)
			e.server("%s, %s, %T, %s %v", showAny(req), info.FullMethod, info.Server, method, ok)
			return next(ctx, req)
		}}
		cfg.StreamInterceptors = []grpc.StreamServerInterceptor{func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			method, ok := grpc.MethodFromServerStream(ss)
			e.server("%T, %+v, %s %v", srv, *info, method, ok)
			return next(srv, ss)
		}}
	})
	c := e.dial(ep)
	e.client("%s", showReply(c.unary(e.ctx, text("x"))))
	for _, open := range []func() (grpc.ClientStream, error){
		func() (grpc.ClientStream, error) { return c.bidi(e.ctx) },
		func() (grpc.ClientStream, error) { return c.clientStream(e.ctx) },
		func() (grpc.ClientStream, error) { return c.serverStream(e.ctx, text("")) },
	} {
		cs, err := open()
		e.client("open: %s", showError(err))
		e.closeSend(cs)
		e.drain(cs)
		if err == nil {
			e.recv(cs)
		}
	}
}

type ctxKey string

func rewritingUnary(e *env) {
	ep := e.serve(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		e.server("handler: %s, value %v, %s", showMessage(m), ctx.Value(ctxKey("k")), showMD(pick(md, "added")))
		if string(m.GetValue()) == "fail, rewritten" {
			return nil, errTest
		}
		return m, nil
	}}, func(cfg *ServerConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			in := text(string(req.(*message).GetValue()) + ", rewritten")
			reply, err := next(context.WithValue(ctx, ctxKey("k"), "from the interceptor"), in)
			if err != nil {
				return nil, status.Error(codes.DataLoss, "rewritten: "+status.Convert(err).Message())
			}
			return text(string(reply.(*message).GetValue()) + ", reply too"), nil
		}}
	})
	c := e.dial(ep, func(cfg *ClientConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "added", "by the interceptor")
			err := invoke(ctx, method, req, reply, cc, opts...)
			if err != nil {
				return fmt.Errorf("wrapped: %w", err)
			}
			m := reply.(*message)
			m.Value = append(m.Value, ", and here"...)
			return nil
		}}
	})
	e.client("%s", showReply(c.unary(e.ctx, text("ask"))))
	e.client("%s", showReply(c.unary(e.ctx, text("fail"))))
}

// wrappedServerStream and wrappedClientStream change each message.
type wrappedServerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s wrappedServerStream) Context() context.Context { return s.ctx }

func (s wrappedServerStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		m.(*message).Value = append(m.(*message).Value, ", server in"...)
	}
	return err
}

func (s wrappedServerStream) SendMsg(m any) error {
	return s.ServerStream.SendMsg(text(string(m.(*message).GetValue()) + ", server out"))
}

type wrappedClientStream struct{ grpc.ClientStream }

func (s wrappedClientStream) SendMsg(m any) error {
	return s.ClientStream.SendMsg(text(string(m.(*message).GetValue()) + ", client out"))
}

func (s wrappedClientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		return fmt.Errorf("wrapped: %w", err)
	}
	m.(*message).Value = append(m.(*message).Value, ", client in"...)
	return nil
}

func rewritingStream(e *env) {
	ep := e.serve(handlers{bidi: func(ss grpc.ServerStream) error {
		e.server("value %v", ss.Context().Value(ctxKey("k")))
		_, ok := grpc.MethodFromServerStream(ss)
		e.server("method %v", ok)
		e.read(ss)
		e.write(ss, "reply")
		return errTest
	}}, func(cfg *ServerConfig) {
		cfg.StreamInterceptors = []grpc.StreamServerInterceptor{func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			err := next(srv, wrappedServerStream{ss, context.WithValue(ss.Context(), ctxKey("k"), "from the interceptor")})
			ss.SetTrailer(pairs("seen", status.Code(err).String()))
			return status.Error(codes.NotFound, "rewritten")
		}}
	})
	c := e.dial(ep, func(cfg *ClientConfig) {
		cfg.StreamInterceptors = []grpc.StreamClientInterceptor{func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			cs, err := open(ctx, desc, cc, method, opts...)
			if err != nil {
				return nil, err
			}
			return wrappedClientStream{cs}, nil
		}}
	})
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.send(cs, "ask")
	e.drain(cs)
	e.trailer(cs)
}

func interceptorAnswers(e *env) {
	ep := e.serve(handlers{unary: func(_ context.Context, m *message) (*message, error) {
		e.server("handler called")
		return m, nil
	}, bidi: func(grpc.ServerStream) error {
		e.server("handler called")
		return nil
	}}, func(cfg *ServerConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryServerInterceptor{func(_ context.Context, req any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			if string(req.(*message).GetValue()) == "refuse" {
				return nil, status.Error(codes.Unauthenticated, "who are you")
			}
			return text("from the interceptor"), nil
		}}
		cfg.StreamInterceptors = []grpc.StreamServerInterceptor{func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return status.Error(codes.Unauthenticated, "who are you")
		}}
	})
	c := e.dial(ep)
	e.client("%s", showReply(c.unary(e.ctx, text("refuse"))))
	e.client("%s", showReply(c.unary(e.ctx, text("answer"))))
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.recv(cs)

	silent := e.dial(ep, func(cfg *ClientConfig) {
		cfg.UnaryInterceptors = []grpc.UnaryClientInterceptor{func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			return errors.New("not going anywhere")
		}}
		cfg.StreamInterceptors = []grpc.StreamClientInterceptor{func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
			return nil, errors.New("not going anywhere")
		}}
	})
	e.client("%s", showReply(silent.unary(e.ctx, text("x"))))
	_, err = silent.bidi(e.ctx)
	e.client("open: %s", showError(err))
}
