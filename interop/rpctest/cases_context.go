package rpctest

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// contextCases are about what is in a handler's context, and what is not.
func contextCases() []testCase {
	return []testCase{
		{
			name: "context/values stay at home",
			rule: "Values of the caller's context are not in the handler's.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					e.server("value %v", ctx.Value(ctxKey("caller")))
					return m, nil
				}})
				e.client("%s", showReply(c.unary(context.WithValue(e.ctx, ctxKey("caller"), "mine"), text("x"))))
			},
		},
		{
			name: "context/values of the client stream",
			rule: "The context of a client stream has the values of the caller's context and its outgoing metadata.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: echoStream(e)})
				ctx := metadata.AppendToOutgoingContext(context.WithValue(e.ctx, ctxKey("caller"), "mine"), "k", "v")
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.recv(cs)
				md, ok := metadata.FromOutgoingContext(cs.Context())
				e.client("value %v, metadata %v %s", cs.Context().Value(ctxKey("caller")), ok, showMD(md))
			},
		},
		{
			name: "context/method",
			rule: "grpc.Method, grpc.MethodFromServerStream and the ServerTransportStream tell the full method; outside a handler there is none.",
			run: func(e *env) {
				note := func(ctx context.Context) {
					m, ok := grpc.Method(ctx)
					ts := grpc.ServerTransportStreamFromContext(ctx)
					e.server("%q %v, transport stream %q", m, ok, ts.Method())
				}
				c := e.pair(handlers{
					unary: func(ctx context.Context, m *message) (*message, error) { note(ctx); return m, nil },
					bidi: func(ss grpc.ServerStream) error {
						note(ss.Context())
						m, ok := grpc.MethodFromServerStream(ss)
						e.server("from the stream: %q %v", m, ok)
						return nil
					},
				})
				e.client("%s", showReply(c.unary(e.ctx, text("x"))))
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.recv(cs)
				m, ok := grpc.Method(e.ctx)
				e.client("at the client: %q %v, transport stream %v", m, ok, grpc.ServerTransportStreamFromContext(e.ctx))
			},
		},
		{
			name: "context/transport stream",
			rule: "The ServerTransportStream in a handler's context sets header and trailer like the functions of package grpc.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					ts := grpc.ServerTransportStreamFromContext(ctx)
					e.server("set: %s", showError(ts.SetHeader(pairs("a", "1"))))
					e.server("send: %s", showError(ts.SendHeader(pairs("b", "2"))))
					e.server("set late: %s", showError(ts.SetHeader(pairs("c", "3"))))
					e.server("send late: %s", showError(ts.SendHeader(nil)))
					e.server("trailer: %s", showError(ts.SetTrailer(pairs("d", "4"))))
					return m, nil
				}})
				var header, trailer metadata.MD
				m, err := c.unary(e.ctx, text("x"), grpc.Header(&header), grpc.Trailer(&trailer))
				e.client("%s, %s, %s", showReply(m, err), showMD(header), showMD(trailer))
			},
		},
	}
}

// unknownCases are about calls of what is not there.
func unknownCases() []testCase {
	methods := []string{
		"/no.such.Service/Method",
		"/" + serviceName + "/NoSuchMethod",
		"/" + serviceName + "/unary", // case counts
		"/" + serviceName + "/",
		"/" + serviceName,
		"//Unary",
		"/",
		"/a/b/c",
		serviceName + "/Unary", // no leading slash
		"",
		"/with space/Method",
		"/ünïcode/Méthode",
		"/percent%20/M%2fethod",
		"/" + strings.Repeat("long", 1000) + "/Method",
	}
	call := func(e *env, c client) {
		for _, method := range methods {
			name := show(method)
			var header, trailer metadata.MD
			out := new(message)
			err := c.Invoke(e.ctx, method, text("x"), out, grpc.Header(&header), grpc.Trailer(&trailer))
			e.client("%s: unary: %s, header %s, trailer %s", name, showReply(out, err), showMD(header), showMD(trailer))
			cs, err := c.NewStream(e.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			e.client("%s: open: %s", name, showError(err))
			if err != nil {
				continue
			}
			e.client("receive: %s", showError(cs.RecvMsg(new(message))))
			e.trailer(cs)
		}
	}
	return []testCase{
		{"unknown/services and methods", "A call of a service or method that is not registered fails with Unimplemented, and its text says which; a malformed name too.", func(e *env) {
			call(e, e.pair(handlers{unary: echoUnary}))
		}},
		{"unknown/service handler", "With an UnknownServiceHandler every such call goes to it, as a stream in both directions, through the stream interceptors.", func(e *env) {
			ep := e.serve(handlers{unary: echoUnary}, func(cfg *ServerConfig) {
				cfg.UnknownService = func(srv any, ss grpc.ServerStream) error {
					defer e.handling()()
					m, ok := grpc.MethodFromServerStream(ss)
					e.server("unknown %s %v, implementation %v", show(m), ok, srv)
					ss.SetTrailer(pairs("t", "1"))
					return status.Error(codes.NotFound, "from the handler of unknown services")
				}
				cfg.StreamInterceptors = []grpc.StreamServerInterceptor{func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
					e.server("intercepted %v %v", info.IsClientStream, info.IsServerStream)
					return next(srv, ss)
				}}
			})
			call(e, e.dial(ep))
		}},
		{"unknown/proxying handler", "An UnknownServiceHandler can pass raw messages on in both directions.", func(e *env) {
			ep := e.serve(handlers{}, func(cfg *ServerConfig) {
				cfg.UnknownService = func(_ any, ss grpc.ServerStream) error {
					defer e.handling()()
					for i := 0; ; i++ {
						in := new(message)
						if err := ss.RecvMsg(in); err != nil {
							return nil
						}
						if err := ss.SendMsg(text(fmt.Sprintf("%d %s", i, in.GetValue()))); err != nil {
							return err
						}
					}
				}
			})
			c := e.dial(ep)
			out := new(message)
			err := c.Invoke(e.ctx, "/any.Service/Method", text("unary"), out)
			e.client("%s", showReply(out, err))
			cs, err := c.NewStream(e.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/any.Service/Stream")
			e.client("open: %s", showError(err))
			e.send(cs, "a")
			e.recv(cs)
			e.send(cs, "b")
			e.closeSend(cs)
			e.drain(cs)
		}},
	}
}
