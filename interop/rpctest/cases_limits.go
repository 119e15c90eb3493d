package rpctest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
)

// limit is the message size limit of the cases, in bytes of the encoding.
const limit = 1 << 10

// limitCases are about messages that are too large for a side, and those that
// are just not.
func limitCases() []testCase {
	set := func(opts ...grpc.CallOption) func(*ClientConfig) {
		return func(cfg *ClientConfig) { cfg.CallOptions = opts }
	}
	nothing := func(*ServerConfig) {}
	sides := []struct {
		name   string
		server func(*ServerConfig)
		client func(*ClientConfig)
	}{
		{"client sends", nothing, set(grpc.MaxCallSendMsgSize(limit))},
		{"client receives", nothing, set(grpc.MaxCallRecvMsgSize(limit))},
		{"server receives", func(cfg *ServerConfig) { cfg.MaxRecvMsgSize = limit }, set()},
		{"server sends", func(cfg *ServerConfig) { cfg.MaxSendMsgSize = limit }, set()},
	}
	const rule = "A message of exactly the limit passes; one byte more fails with ResourceExhausted, and the connection goes on."
	var list []testCase
	for _, side := range sides {
		list = append(list,
			testCase{"limits/" + side.name + ", unary", rule, func(e *env) { unaryLimits(e, side.server, side.client) }},
			testCase{"limits/" + side.name + ", stream", rule, func(e *env) { streamLimits(e, side.server, side.client) }},
		)
	}
	return append(list,
		testCase{"limits/by default", "Without a setting, either side receives up to 4 MiB and sends anything.", defaultLimits},
		testCase{"limits/raised", "With raised limits, larger messages pass whole.", raisedLimits},
		testCase{"limits/of a call above the client's", "A call's own limits replace those of the client.", func(e *env) {
			c := e.dial(e.serve(handlers{unary: echoUnary}), set(grpc.MaxCallRecvMsgSize(limit), grpc.MaxCallSendMsgSize(limit)))
			_, err := c.unary(e.ctx, zeros(2*limit), grpc.MaxCallSendMsgSize(4*limit))
			e.client("send raised: %s", showError(err))
			_, err = c.unary(e.ctx, zeros(2*limit), grpc.MaxCallSendMsgSize(4*limit), grpc.MaxCallRecvMsgSize(4*limit))
			e.client("both raised: %s", showError(err))
			_, err = c.unary(e.ctx, zeros(2*limit), grpc.MaxCallRecvMsgSize(0))
			e.client("send kept: %s", showError(err))
			_, err = c.unary(e.ctx, text(""), grpc.MaxCallRecvMsgSize(0), grpc.MaxCallSendMsgSize(0))
			e.client("nothing allowed, nothing sent: %s", showError(err))
		}},
	)
}

func unaryLimits(e *env, server func(*ServerConfig), cl func(*ClientConfig)) {
	c := e.dial(e.serve(handlers{unary: func(_ context.Context, m *message) (*message, error) {
		e.server("got %d bytes", len(m.GetValue()))
		return m, nil
	}}, server), cl)
	for _, size := range []int{limit, limit + 1, 64 * limit, limit} {
		m, err := c.unary(e.ctx, zeros(size))
		e.client("%d bytes: %s, %d back", size, showError(err), len(m.GetValue()))
	}
}

func streamLimits(e *env, server func(*ServerConfig), cl func(*ClientConfig)) {
	var cfg ClientConfig
	if cl(&cfg); len(cfg.CallOptions) > 0 {
		e.leaveToChance("server") // it may have begun a call that the client gives up
	}
	c := e.dial(e.serve(handlers{bidi: func(ss grpc.ServerStream) error {
		in := new(message)
		if err := ss.RecvMsg(in); err != nil {
			// What grpc-go finds when it reads on is in the middle of
			// the message it refused.
			e.server("receive: %s", showError(err))
			return err
		}
		err := ss.SendMsg(in)
		e.server("send %d bytes: %s", len(in.GetValue()), showError(err))
		return err
	}}, server), cl)
	for _, size := range []int{limit, limit + 1, 64 * limit} {
		ctx, cancel := context.WithCancel(e.ctx)
		cs, err := c.bidi(ctx)
		e.client("%d bytes: open: %s", size, showError(err))
		// Whether the refusal overtakes the rest of a large message is chance.
		if err := cs.SendMsg(zeros(size)); err != nil && !errors.Is(err, io.EOF) {
			e.client("send: %s", showError(err))
		}
		m := new(message)
		err = cs.RecvMsg(m)
		e.client("receive: %s, %d bytes", showError(err), len(m.GetValue()))
		if err != nil {
			e.send(cs, "after")
			e.trailer(cs)
		}
		e.awaitHandlersOf(cancel)
	}
}

// awaitHandlersOf ends a call and waits for its handler.
func (e *env) awaitHandlersOf(cancel context.CancelFunc) {
	cancel()
	e.awaitHandlers()
}

func defaultLimits(e *env) {
	const mib4 = 4 << 20
	c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
		if want := len(m.GetValue()); want < 100 {
			return zeros(mib4 + want), nil
		}
		return text(fmt.Sprint(len(m.GetValue()))), nil
	}})
	_, err := c.unary(e.ctx, zeros(mib4))
	e.client("request of 4 MiB: %s", showError(err))
	_, err = c.unary(e.ctx, zeros(mib4+1))
	e.client("request of 4 MiB and 1: %s", showError(err))
	m, err := c.unary(e.ctx, text(""))
	e.client("reply of 4 MiB: %s, %d", showError(err), len(m.GetValue()))
	_, err = c.unary(e.ctx, text("1"))
	e.client("reply of 4 MiB and 1: %s", showError(err))
}

func raisedLimits(e *env) {
	const most = 6 << 20 // above what is allowed by default
	ep := e.serve(handlers{unary: echoUnary, bidi: echoStream(e)},
		func(cfg *ServerConfig) { cfg.MaxRecvMsgSize, cfg.MaxSendMsgSize = most, most })
	c := e.dial(ep, func(cfg *ClientConfig) { cfg.CallOptions = []grpc.CallOption{grpc.MaxCallRecvMsgSize(most)} })
	for _, size := range []int{1 << 20, 5 << 20, most} {
		m := zeros(size)
		for i := range m.Value {
			m.Value[i] = byte(i * i >> 3)
		}
		e.client("unary: %s", showReply(c.unary(e.ctx, m)))
		cs, err := c.bidi(e.ctx)
		e.client("open: %s", showError(err))
		e.client("send: %s", showError(cs.SendMsg(m)))
		e.closeSend(cs)
		e.drain(cs)
	}
}
