package rpctest_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// serverMutants spoil what a handler sees and what becomes of what it does.
func serverMutants() []mutant {
	handlerContext := func(f func(context.Context) context.Context) broken {
		b := streamServer(func(ss grpc.ServerStream) grpc.ServerStream {
			return spoiledServerStream{ServerStream: ss, context: f(ss.Context())}
		})
		unary := unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(f(ctx), req)
		})
		return broken{server: func(cfg *rpctest.ServerConfig) { b.server(cfg); unary.server(cfg) }}
	}
	return []mutant{
		{"never ends a handler's context", []string{"cancel/while the handler runs, unary", "cancel/contexts end with the call", "deadline/server notices, unary"}, handlerContext(context.WithoutCancel)},
		{"hides the deadline from the handler", []string{"deadline/travels"}, handlerContext(func(ctx context.Context) context.Context { return noDeadline{ctx} })},
		{"loses a key of the request", []string{"metadata/values", "interceptor/rewriting, unary"}, handlerContext(func(ctx context.Context) context.Context {
			md, _ := metadata.FromIncomingContext(ctx)
			delete(md, "k")
			delete(md, "added")
			return metadata.NewIncomingContext(ctx, md)
		})},
		{"lends its metadata", []string{"metadata/what the server sees of the protocol"}, handlerContext(func(ctx context.Context) context.Context {
			md, _ := metadata.FromIncomingContext(ctx)
			md.Set("grpc-timeout", "1S")
			return metadata.NewIncomingContext(ctx, md)
		})},
		{"sends metadata on by itself", []string{"metadata/does not go on by itself"}, handlerContext(func(ctx context.Context) context.Context {
			md, _ := metadata.FromIncomingContext(ctx)
			return metadata.NewOutgoingContext(ctx, md)
		})},
		{"hides the peer", []string{"creds/peer"}, handlerContext(func(ctx context.Context) context.Context { return peer.NewContext(ctx, &peer.Peer{}) })},
		{"hides the transport stream", []string{"context/method", "context/transport stream", "header/every order, unary"}, handlerContext(func(ctx context.Context) context.Context {
			return grpc.NewContextWithServerTransportStream(ctx, nowhere{})
		})},
		{"recovers panics", []string{"process/panic of a unary handler", "process/panic of a handler's nil pointer"},
			unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
				defer func() {
					if r := recover(); r != nil {
						err = status.Errorf(codes.Internal, "panic: %v", r)
					}
				}()
				return next(ctx, req)
			})},
		{"runs one handler at a time", []string{"concurrent/handlers run side by side", "concurrent/calls back from a handler"}, broken{server: func(cfg *rpctest.ServerConfig) {
			var mu sync.Mutex
			unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				mu.Lock()
				defer mu.Unlock()
				return next(ctx, req)
			}).server(cfg)
		}}},
		{"keeps at most a hundred streams", []string{"concurrent/thousand streams"}, broken{server: func(cfg *rpctest.ServerConfig) {
			slots := make(chan struct{}, 100)
			streamServer(func(ss grpc.ServerStream) grpc.ServerStream {
				slots <- struct{}{}
				context.AfterFunc(ss.Context(), func() { <-slots })
				return ss
			}).server(cfg)
		}}},
		{"sends the header late", []string{"header/seen before the first message", "option/Header, Trailer and Peer of a stream"}, streamServer(func(ss grpc.ServerStream) grpc.ServerStream {
			return spoiledServerStream{ServerStream: ss, header: ss.SetHeader}
		})},
		{"turns errors of the context into others", []string{"status/conversion, unary"},
			unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				reply, err := next(ctx, req)
				if _, ok := status.FromError(err); !ok {
					err = status.Error(codes.Unknown, err.Error())
				}
				return reply, err
			})},
		{"lets a handler read on after the end", []string{"stream/half-close"}, streamServer(func(ss grpc.ServerStream) grpc.ServerStream {
			over := false
			return spoiledServerStream{ServerStream: ss, recv: func(m any) error {
				if over {
					return nil
				}
				err := ss.RecvMsg(m)
				over = err != nil
				return err
			}}
		})},
		{"does not stop a handler's sending", []string{"cancel/mid stream, client receiving", "header/after the handler has returned"}, streamServer(func(ss grpc.ServerStream) grpc.ServerStream {
			return spoiledServerStream{ServerStream: ss, send: func(m any) error {
				ss.SendMsg(m)
				return nil
			}}
		})},
		{"ignores the server's limits", []string{"limits/server receives, unary", "limits/server sends, stream"}, broken{server: func(cfg *rpctest.ServerConfig) { cfg.MaxRecvMsgSize, cfg.MaxSendMsgSize = 0, 0 }}},
		{"takes any metadata", []string{"metadata/over the server's limit"}, broken{server: func(cfg *rpctest.ServerConfig) { cfg.MaxHeaderListSize = 0 }}},
		{"sends any metadata", []string{"metadata/over the client's limit"}, broken{client: func(cfg *rpctest.ClientConfig) { cfg.MaxHeaderListSize = 0 }}},
		{"takes any number of calls", []string{"concurrent/limit of calls"}, broken{server: func(cfg *rpctest.ServerConfig) { cfg.MaxConcurrentStreams = 0 }}},
		{"receives more by default", []string{"limits/by default"}, broken{server: func(cfg *rpctest.ServerConfig) {
			if cfg.MaxRecvMsgSize == 0 {
				cfg.MaxRecvMsgSize = 8 << 20
			}
		}}},
		{"uses a request's memory again", []string{"memory/messages outlive their call"},
			unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				reply, err := next(ctx, req)
				if m, ok := reply.(*wrapperspb.BytesValue); ok {
					reply = wrapperspb.Bytes(slices.Clone(m.Value))
				}
				clear(req.(*wrapperspb.BytesValue).Value)
				return reply, err
			})},
		{"empties contexts after the call", []string{"memory/contexts outlive their call"},
			unaryServer(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				lent := lent{ctx, new(atomic.Bool)}
				defer lent.over.Store(true)
				return next(lent, req)
			})},
		{"turns server interceptors around", []string{"interceptor/order"}, broken{server: func(cfg *rpctest.ServerConfig) {
			slices.Reverse(cfg.UnaryInterceptors)
			slices.Reverse(cfg.StreamInterceptors)
		}}},
		{"knows no unknown services", []string{"unknown/service handler", "unknown/proxying handler"}, broken{server: func(cfg *rpctest.ServerConfig) { cfg.UnknownService = nil }}},
		{"takes unknown methods for missing pages", []string{"unknown/services and methods"}, broken{server: func(cfg *rpctest.ServerConfig) {
			cfg.UnknownService = func(any, grpc.ServerStream) error { return status.Error(codes.NotFound, "no such page") }
		}}},
		{"never tells of the end", []string{"stats/unary", "stats/stream that fails"}, broken{server: func(cfg *rpctest.ServerConfig) {
			for i, h := range cfg.StatsHandlers {
				cfg.StatsHandlers[i] = endless{h}
			}
		}}},
		{"does not use the tagged context", []string{"stats/unary", "stats/several handlers"}, broken{server: func(cfg *rpctest.ServerConfig) {
			for i, h := range cfg.StatsHandlers {
				cfg.StatsHandlers[i] = untagged{h}
			}
		}}},
	}
}

// nowhere is a transport stream that leads nowhere.
type nowhere struct{}

func (nowhere) Method() string               { return "" }
func (nowhere) SetHeader(metadata.MD) error  { return nil }
func (nowhere) SendHeader(metadata.MD) error { return nil }
func (nowhere) SetTrailer(metadata.MD) error { return nil }

// lent is a context that is empty when its call is over.
type lent struct {
	context.Context
	over *atomic.Bool
}

func (c lent) Value(key any) any {
	if c.over.Load() {
		return nil
	}
	return c.Context.Value(key)
}

type endless struct{ stats.Handler }

func (h endless) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.End); !ok {
		h.Handler.HandleRPC(ctx, s)
	}
}

type untagged struct{ stats.Handler }

func (h untagged) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.Handler.TagRPC(ctx, info)
	return ctx
}

// lifeMutants spoil the ends of servers and clients.
func lifeMutants() []mutant {
	endpoint := func(f func(rpctest.Endpoint) rpctest.Endpoint) broken { return broken{endpoint: f} }
	return []mutant{
		{"stops at once when it should wait", []string{"lifecycle/graceful stop, unary in flight", "lifecycle/graceful stop, stream in flight"},
			endpoint(func(ep rpctest.Endpoint) rpctest.Endpoint { return impatient{ep} })},
		{"waits when it should stop", []string{"lifecycle/stop with calls in flight"},
			endpoint(func(ep rpctest.Endpoint) rpctest.Endpoint { return patient{ep, new(sync.Once)} })},
		{"comes back elsewhere", []string{"lifecycle/server comes back"},
			endpoint(func(ep rpctest.Endpoint) rpctest.Endpoint { return gone{ep} })},
		{"does not close", []string{"lifecycle/closed", "lifecycle/close with calls in flight"}, closing(func(*grpc.ClientConn) error { return nil })},
		{"closes twice without an error", []string{"lifecycle/closed"}, closing(func(cc *grpc.ClientConn) error { cc.Close(); return nil })},
	}
}
