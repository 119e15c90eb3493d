package rpctest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
)

// recorded starts a server and a client with a recorder on each.
func recorded(e *env, h handlers) (c client, onClient, onServer *statsRecorder) {
	onClient, onServer = newStatsRecorder(e, "client stats"), newStatsRecorder(e, "server stats")
	ep := e.serve(h, func(cfg *ServerConfig) { cfg.StatsHandlers = []stats.Handler{onServer} })
	c = e.dial(ep, authority("authority.test"), func(cfg *ClientConfig) { cfg.StatsHandlers = []stats.Handler{onClient} })
	return c, onClient, onServer
}

// statsCases are about what a stats.Handler is told.
func statsCases() []testCase {
	const rule = "A stats.Handler is told of each step of a call, in the order in which they happen, with the context it tagged."
	return []testCase{
		{"stats/unary", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{unary: func(ctx context.Context, m *message) (*message, error) {
				e.server("in the handler's context: %v", ctx.Value(tagKey{"server stats"}))
				grpc.SetHeader(ctx, pairs("h", "1"))
				grpc.SetTrailer(ctx, pairs("t", "2"))
				return m, nil
			}})
			ctx := metadata.AppendToOutgoingContext(e.ctx, "k", "v")
			e.client("%s", showReply(c.unary(ctx, text("x"))))
			onClient.awaitEnds(1)
			onServer.awaitEnds(1)
		}},
		{"stats/unary that fails", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{unary: func(context.Context, *message) (*message, error) { return nil, errTest }})
			e.client("%s", showReply(c.unary(e.ctx, text("x"))))
			onClient.awaitEnds(1)
			onServer.awaitEnds(1)
		}},
		{"stats/bidi", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{bidi: echoStream(e)})
			cs, err := c.bidi(e.ctx)
			e.client("open: %s", showError(err))
			for range 2 {
				e.send(cs, "x")
				e.recv(cs)
			}
			e.closeSend(cs)
			e.recv(cs)
			onClient.awaitEnds(1)
			onServer.awaitEnds(1)
		}},
		{"stats/client stream and server stream", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{
				clientStream: func(ss grpc.ServerStream) error {
					for ss.RecvMsg(new(message)) == nil {
					}
					return ss.SendMsg(text("sum"))
				},
				serverStream: func(ss grpc.ServerStream) error {
					if err := ss.RecvMsg(new(message)); err != nil {
						return err
					}
					ss.SendHeader(pairs("h", "1"))
					return ss.SendMsg(text("part"))
				},
			})
			cs, err := c.clientStream(e.ctx)
			e.client("open: %s", showError(err))
			e.send(cs, "x")
			e.closeSend(cs)
			e.recv(cs)
			onServer.awaitEnds(1)
			cs, err = c.serverStream(e.ctx, text("y"))
			e.client("open: %s", showError(err))
			e.drain(cs)
			onClient.awaitEnds(2)
			onServer.awaitEnds(2)
		}},
		{"stats/stream that fails", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{bidi: func(ss grpc.ServerStream) error { return errTest }})
			cs, err := c.bidi(e.ctx)
			e.client("open: %s", showError(err))
			e.recv(cs)
			onClient.awaitEnds(1)
			onServer.awaitEnds(1)
		}},
		{"stats/canceled by the client", rule, func(e *env) {
			c, onClient, onServer := recorded(e, handlers{bidi: func(ss grpc.ServerStream) error {
				e.write(ss, "first")
				return ss.RecvMsg(new(message))
			}})
			ctx, cancel := context.WithCancel(e.ctx)
			cs, err := c.bidi(ctx)
			e.client("open: %s", showError(err))
			e.recv(cs)
			cancel()
			e.recv(cs)
			onClient.awaitEnds(1)
			onServer.awaitEnds(1)
		}},
		{"stats/unknown method", rule, func(e *env) {
			// Nothing is sent: it would be chance whether that is before
			// or after the refusal.
			c, onClient, onServer := recorded(e, handlers{unary: echoUnary})
			cs, err := c.NewStream(e.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/no.such.Service/Method")
			e.client("open: %s", showError(err))
			e.recv(cs)
			onClient.awaitEnds(1)
			// The server's handler is told of neither beginning nor end.
			onServer.await("*stats.OutTrailer", 1)
		}},
		{"stats/metadata of a client's handler", "What a stats.Handler of a client puts into the outgoing metadata goes with the call: so do traces travel.", taggedMetadata},
		{"stats/refused before it is sent", rule, func(e *env) {
			c, _, _ := recorded(e, handlers{unary: echoUnary})
			ctx := metadata.AppendToOutgoingContext(e.ctx, "bad key", "v")
			e.client("%s", showReply(c.unary(ctx, text("x"))))
			_, err := c.unary(e.ctx, text("x"), grpc.CallContentSubtype("nobodys"))
			e.client("%s", showError(err))
		}},
		{"stats/several handlers", "Several handlers are all told, in the order they were given.", func(e *env) {
			order := func(lane, name string) stats.Handler { return orderHandler{e, lane, name} }
			last, lastOnServer := newStatsRecorder(e, "last"), newStatsRecorder(e, "last")
			e.leaveToChance("last")
			e.leaveToChance("last, received")
			ep := e.serve(handlers{unary: echoUnary}, func(cfg *ServerConfig) {
				cfg.StatsHandlers = []stats.Handler{order("server stats", "one"), order("server stats", "two"), lastOnServer}
			})
			c := e.dial(ep, func(cfg *ClientConfig) {
				cfg.StatsHandlers = []stats.Handler{order("client stats", "one"), order("client stats", "two"), last}
			})
			e.client("%s", showReply(c.unary(e.ctx, text("x"))))
			last.awaitEnds(1)
			lastOnServer.awaitEnds(1)
		}},
		{"stats/connections", "A stats.Handler is told of the beginning and the end of each connection, on both sides.", connStats},
	}
}

// orderHandler takes down only that it was called.
type orderHandler struct {
	e          *env
	lane, name string
}

func (h orderHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	h.e.note(h.lane, "%s: tag, after %v", h.name, ctx.Value(tagKey{h.lane}))
	return context.WithValue(ctx, tagKey{h.lane}, h.name)
}

func (h orderHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	lane := h.lane
	switch s.(type) {
	case *stats.InHeader, *stats.InTrailer:
		if s.IsClient() {
			lane += ", received" // see statsRecorder
		}
	}
	h.e.note(lane, "%s: %T, last tag %v", h.name, s, ctx.Value(tagKey{h.lane}))
}

func (h orderHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (h orderHandler) HandleConn(context.Context, stats.ConnStats)                       {}

// connRecorder signals the ends of connections.
type connRecorder struct {
	*statsRecorder
	ended *signal
}

func (r connRecorder) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	r.e.note(r.lane+" conn", "tag, remote %v, local %v", info.RemoteAddr != nil, info.LocalAddr != nil)
	return context.WithValue(ctx, tagKey{r.lane + " conn"}, "tagged")
}

func (r connRecorder) HandleConn(ctx context.Context, s stats.ConnStats) {
	r.e.note(r.lane+" conn", "%v %T client %v", ctx.Value(tagKey{r.lane + " conn"}), s, s.IsClient())
	if _, end := s.(*stats.ConnEnd); end {
		r.ended.happened()
	}
}

func connStats(e *env) {
	onClient := connRecorder{newStatsRecorder(e, "client stats"), newSignal()}
	onServer := connRecorder{newStatsRecorder(e, "server stats"), newSignal()}
	for _, lane := range []string{"client stats", "client stats, received", "server stats"} {
		e.leaveToChance(lane) // other cases are about calls
	}
	ep := e.serve(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		e.server("in the handler's context: %v", ctx.Value(tagKey{"server stats conn"}))
		return m, nil
	}}, func(cfg *ServerConfig) { cfg.StatsHandlers = []stats.Handler{onServer} })
	c := e.dial(ep, func(cfg *ClientConfig) { cfg.StatsHandlers = []stats.Handler{onClient} })
	e.client("%s", showReply(c.unary(e.ctx, text("x"))))
	e.client("close: %s", showError(c.Close()))
	e.await(onClient.ended, "the end of the client's connection")
	e.await(onServer.ended, "the end of the server's connection")
}

// metadataHandler puts a pair into the outgoing metadata of each attempt.
type metadataHandler struct{ *statsRecorder }

func (h metadataHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return metadata.AppendToOutgoingContext(h.statsRecorder.TagRPC(ctx, info), "Trace", "of the handler", "k", "second", "user-agent", "not sent")
}

func taggedMetadata(e *env) {
	show := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		e.server("trace %q, k %q", md["trace"], md["k"])
	}
	ep := e.serve(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) {
			show(ctx)
			return m, nil
		},
		bidi: func(ss grpc.ServerStream) error {
			show(ss.Context())
			return nil
		},
	})
	onClient := metadataHandler{newStatsRecorder(e, "client stats")}
	c := e.dial(ep, authority("authority.test"), func(cfg *ClientConfig) { cfg.StatsHandlers = []stats.Handler{onClient} })
	ctx := metadata.AppendToOutgoingContext(e.ctx, "k", "first")
	e.client("%s", showReply(c.unary(ctx, text("x"))))
	cs, err := c.bidi(ctx)
	e.client("open: %s", showError(err))
	e.recv(cs)
	onClient.awaitEnds(2)
	md, _ := metadata.FromOutgoingContext(ctx)
	e.client("the caller's own: %s", showMD(md))
}
