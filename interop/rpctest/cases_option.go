package rpctest

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// optionCases are about the call options that no other subject covers.
func optionCases() []testCase {
	return []testCase{
		{
			name: "option/OnFinish",
			rule: "OnFinish is called once when a call has ended, with its error, or nil for success.",
			run:  onFinish,
		},
		{
			name: "option/Header, Trailer and Peer of a stream",
			rule: "On a stream they are filled in when it has ended.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					ss.SendHeader(pairs("h", "1"))
					ss.SetTrailer(pairs("t", "2"))
					e.read(ss)
					return errTest
				}})
				var header, trailer metadata.MD
				var p peer.Peer
				cs, err := c.bidi(e.ctx, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&p))
				e.client("open: %s", showError(err))
				e.header(cs)
				e.client("before the end: %s, %s, peer %v", showMD(header), showMD(trailer), p.Addr != nil)
				e.closeSend(cs)
				e.recv(cs)
				e.client("after the end: %s, %s, peer %v", showMD(header), showMD(trailer), p.Addr != nil)
			},
		},
		{
			name: "option/given twice",
			rule: "Of two options that set the same thing the later wins; two that collect something both get it.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					grpc.SetHeader(ctx, pairs("h", "1"))
					return m, nil
				}})
				var one, two metadata.MD
				m, err := c.unary(e.ctx, text("x"), grpc.Header(&one), grpc.MaxCallRecvMsgSize(0), grpc.Header(&two), grpc.MaxCallRecvMsgSize(100))
				e.client("%s, %s, %s", showReply(m, err), showMD(one), showMD(two))
				_, err = c.unary(e.ctx, text("x"), grpc.MaxCallRecvMsgSize(100), grpc.MaxCallRecvMsgSize(0))
				e.client("%s", showError(err))
			},
		},
		{
			name: "option/of a failed call",
			rule: "A call that fails before it is sent leaves header, trailer and peer as they were, and OnFinish learns the error.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				header, trailer := pairs("kept", "h"), pairs("kept", "t")
				ctx := metadata.AppendToOutgoingContext(e.ctx, "bad key", "v")
				_, err := c.unary(ctx, text("x"), grpc.Header(&header), grpc.Trailer(&trailer),
					grpc.OnFinish(func(err error) { e.client("finish: %s", showError(err)) }))
				e.client("%s, %s, %s", showError(err), showMD(header), showMD(trailer))
			},
		},
		{
			name: "option/CallAuthority",
			rule: "CallAuthority is refused with Unavailable where the credentials can't judge it, and else is what the server sees.",
			run: func(e *env) {
				c := e.dial(e.serve(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					md, _ := metadata.FromIncomingContext(ctx)
					e.server("%s", showMD(pick(md, ":authority")))
					return m, nil
				}}), authority("authority.test"))
				e.client("%s", showReply(c.unary(e.ctx, text("x"), grpc.CallAuthority("other.test"))))
				e.client("empty: %s", showReply(c.unary(e.ctx, text("x"), grpc.CallAuthority(""))))
			},
		},
		{
			name: "option/those that only tune",
			rule: "StaticMethod, MaxRetryRPCBufferSize and WaitForReady change nothing about a call that works.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, bidi: echoStream(e)})
				opts := []grpc.CallOption{grpc.StaticMethod(), grpc.MaxRetryRPCBufferSize(1), grpc.WaitForReady(true), grpc.EmptyCallOption{}}
				e.client("%s", showReply(c.unary(e.ctx, text("x"), opts...)))
				cs, err := c.bidi(e.ctx, opts...)
				e.client("open: %s", showError(err))
				e.send(cs, "y")
				e.closeSend(cs)
				e.drain(cs)
			},
		},
		{
			name: "option/UseCompressor",
			rule: "With gzip, messages arrive whole in both directions, and the client's header does not tell.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, bidi: echoStream(e)})
				var header metadata.MD
				m, err := c.unary(e.ctx, zeros(100_000), grpc.UseCompressor(gzip.Name), grpc.Header(&header))
				e.client("%s, header %s", showReply(m, err), showMD(header))
				cs, err := c.bidi(e.ctx, grpc.UseCompressor(gzip.Name))
				e.client("open: %s", showError(err))
				e.send(cs, "small")
				e.recv(cs)
				e.client("send: %s", showError(cs.SendMsg(zeros(100_000))))
				e.recv(cs)
				e.closeSend(cs)
				e.recv(cs)
			},
		},
		{
			name: "option/UseCompressor, limits",
			rule: "Limits of received messages hold for what comes out of the decompressor.",
			run: func(e *env) {
				c := e.dial(e.serve(handlers{unary: echoUnary}, func(cfg *ServerConfig) { cfg.MaxRecvMsgSize = limit }))
				_, err := c.unary(e.ctx, zeros(limit), grpc.UseCompressor(gzip.Name))
				e.client("%s", showError(err))
				_, err = c.unary(e.ctx, zeros(limit+1), grpc.UseCompressor(gzip.Name))
				e.client("%s", showError(err))
			},
		},
		{
			name: "option/UseCompressor, identity and unknown",
			rule: "identity is no compression; a compressor that nobody registered fails the call with Internal.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				e.client("identity: %s", showReply(c.unary(e.ctx, text("x"), grpc.UseCompressor("identity"))))
				e.client("unknown: %s", showReply(c.unary(e.ctx, text("x"), grpc.UseCompressor("nobodys"))))
				_, err := c.bidi(e.ctx, grpc.UseCompressor("nobodys"))
				e.client("unknown, stream: %s", showError(err))
			},
		},
		{
			name: "option/server's compressor",
			rule: "SetSendCompressor and ClientSupportedCompressors work in a handler, or fail with an error.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					supported, err := grpc.ClientSupportedCompressors(ctx)
					e.server("supported: %q %s", supported, showError(err))
					e.server("gzip: %s", showError(grpc.SetSendCompressor(ctx, gzip.Name)))
					e.server("unknown: %s", showError(grpc.SetSendCompressor(ctx, "nobodys")))
					return m, nil
				}})
				var header metadata.MD
				m, err := c.unary(e.ctx, text("x"), grpc.Header(&header))
				e.client("%s, header %s", showReply(m, err), showMD(header))
			},
		},
	}
}

func onFinish(e *env) {
	c := e.pair(handlers{
		unary: func(_ context.Context, m *message) (*message, error) {
			if len(m.GetValue()) > 0 {
				return nil, errTest
			}
			return m, nil
		},
		bidi: func(ss grpc.ServerStream) error {
			e.read(ss)
			return errTest
		},
	})
	finish := func(what string) grpc.CallOption {
		return grpc.OnFinish(func(err error) { e.client("%s has finished: %s", what, showError(err)) })
	}
	e.client("%s", showReply(c.unary(e.ctx, text(""), finish("success"))))
	e.client("%s", showReply(c.unary(e.ctx, text("x"), finish("failure"), finish("failure, second option"))))
	cs, err := c.bidi(e.ctx, finish("stream"))
	e.client("open: %s", showError(err))
	e.closeSend(cs)
	e.recv(cs)
	e.recv(cs)

	// A canceled stream finishes when somebody looks, or by itself.
	var once sync.Once
	finished := newSignal()
	ctx, cancel := context.WithCancel(e.ctx)
	cs, err = c.bidi(ctx, grpc.OnFinish(func(err error) {
		e.client("canceled has finished: %s", showError(err))
		once.Do(finished.happened)
	}))
	e.client("open: %s", showError(err))
	e.leaveToChance("server")
	cancel()
	e.await(finished, "OnFinish of a canceled stream")
	e.recv(cs)
}
