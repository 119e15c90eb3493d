package rpctest

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// lifecycleCases are about servers and clients that stop, and come back.
func lifecycleCases() []testCase {
	return []testCase{
		{
			name: "lifecycle/graceful stop, unary in flight",
			rule: "GracefulStop waits for the calls in flight, which end as if nothing was; new calls fail with Unavailable.",
			run:  gracefulUnary,
		},
		{
			name: "lifecycle/graceful stop, stream in flight",
			rule: "During GracefulStop an open stream goes on in both directions, as long as it likes.",
			run:  gracefulStream,
		},
		{
			name: "lifecycle/graceful stop of an idle server",
			rule: "GracefulStop without calls in flight returns, and the client's connection becomes idle.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: echoUnary})
				c := e.dial(ep)
				e.client("%s", showReply(c.unary(e.ctx, text("x"))))
				ep.GracefulStop()
				e.server("stopped")
				e.awaitIdle(c)
				_, err := c.unary(e.ctx, text("y"))
				e.client("%s", showCode(err))
			},
		},
		{
			name: "lifecycle/stop with calls in flight",
			rule: "Stop ends the calls in flight with Unavailable, and the contexts of their handlers.",
			run:  stopInFlight,
		},
		{
			name: "lifecycle/stop during graceful stop",
			rule: "Stop ends a GracefulStop that waits.",
			run: func(e *env) {
				started := newSignal()
				ep := e.serve(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
					started.happened()
					e.wait(ctx.Done(), "the end of the handler's context")
					return nil, ctx.Err()
				}})
				c := e.dial(ep)
				joinCall := e.spawn("the call", func() {
					_, err := c.unary(e.ctx, text("x"))
					e.note("call", "%s", showCode(err))
				})
				e.await(started, "the handler's start")
				joinStop := e.spawn("the graceful stop", ep.GracefulStop)
				e.awaitNotReady(c)
				ep.Stop()
				joinStop()
				joinCall()
			},
		},
		{
			name: "lifecycle/close with calls in flight",
			rule: "Close ends the client's calls in flight with Canceled, and the contexts of their handlers.",
			run:  closeInFlight,
		},
		{
			name: "lifecycle/closed",
			rule: "Every use of a closed connection fails with Canceled, a second Close too; its state is Shutdown.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				e.client("close: %s", showError(c.Close()))
				e.client("unary: %s", showReply(c.unary(e.ctx, text("x"))))
				e.client("unary, waiting for ready: %s", showReply(c.unary(e.ctx, text("x"), grpc.WaitForReady(true))))
				_, err := c.bidi(e.ctx)
				e.client("bidi: %s", showError(err))
				e.client("close: %s", showError(c.Close()))
				e.states(c, func(sc StateConn) { e.client("state %v", sc.GetState()) })
			},
		},
		{
			name: "lifecycle/closed before it was ever used",
			rule: "A connection can be closed before its first call.",
			run: func(e *env) {
				c := e.dialIdle(e.serve(handlers{unary: echoUnary}))
				e.client("close: %s", showError(c.Close()))
				e.client("unary: %s", showReply(c.unary(e.ctx, text("x"))))
			},
		},
		{
			name: "lifecycle/idle at first",
			rule: "A new connection is idle. The first call connects it; so does Connect.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: echoUnary})
				c := e.dialIdle(ep)
				e.states(c, func(sc StateConn) { e.client("at first %v", sc.GetState()) })
				e.client("%s", showReply(c.unary(e.ctx, text("x"))))
				// grpc-go lets calls go a moment before it says so.
				e.states(c, func(sc StateConn) { e.client("after a call, ready: %v", e.awaitState(sc, connectivity.Ready)) })
				c = e.dialIdle(ep)
				e.states(c, func(sc StateConn) {
					sc.Connect()
					e.client("after Connect, ready: %v", e.awaitState(sc, connectivity.Ready))
				})
			},
		},
		{
			name: "lifecycle/server comes back",
			rule: "A lost connection becomes idle. The next call connects anew when the server is back.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: echoUnary})
				c := e.dial(ep)
				e.client("%s", showReply(c.unary(e.ctx, text("one"))))
				ep.Stop()
				e.awaitIdle(c)
				ep.Restart(e.tb)
				e.client("%s", showReply(c.unary(e.ctx, text("two"))))
			},
		},
		{
			name: "lifecycle/nobody there",
			rule: "With nobody at the address a call fails with Unavailable and the state becomes TransientFailure; one that waits for ready waits, to its deadline or until the server is there.",
			run:  nobodyThere,
		},
		{
			name: "lifecycle/two clients",
			rule: "Closing one client leaves the other alone.",
			run: func(e *env) {
				ep := e.serve(handlers{unary: echoUnary})
				one, two := e.dial(ep), e.dial(ep)
				e.client("%s", showReply(one.unary(e.ctx, text("x"))))
				e.client("close: %s", showError(one.Close()))
				e.client("%s", showReply(two.unary(e.ctx, text("y"))))
			},
		},
	}
}

// states does something with the connectivity API, if there is one.
func (e *env) states(c client, f func(StateConn)) {
	if sc, ok := c.Conn.(StateConn); ok {
		f(sc)
		return
	}
	e.client("the connection has no states")
}

// awaitIdle waits until the client has noticed that its server is gone.
func (e *env) awaitIdle(c client) {
	e.states(c, func(sc StateConn) {
		if e.awaitState(sc, connectivity.Idle) {
			e.client("the connection became idle")
		}
	})
}

// awaitNotReady waits until the client knows that it can't start more calls.
func (e *env) awaitNotReady(c client) {
	e.states(c, func(sc StateConn) {
		if !sc.WaitForStateChange(e.ctx, connectivity.Ready) {
			e.note(harnessLane, "the connection stayed ready")
		}
	})
}

func gracefulUnary(e *env) {
	started, release := newSignal(), newSignal()
	ep := e.serve(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
		started.happened()
		e.await(release, "the release of the handler")
		e.server("context: %s", showError(ctx.Err()))
		return m, nil
	}})
	c := e.dial(ep)
	joinCall := e.spawn("the call", func() { e.note("call", "%s", showReply(c.unary(e.ctx, text("x")))) })
	e.await(started, "the handler's start")
	joinStop := e.spawn("the graceful stop", func() {
		ep.GracefulStop()
		e.server("stopped")
	})
	e.awaitNotReady(c)
	_, err := c.unary(e.ctx, text("new"))
	e.client("new call: %s", showCode(err))
	release.happened()
	joinCall()
	joinStop()
}

func gracefulStream(e *env) {
	ep := e.serve(handlers{bidi: echoStream(e)})
	c := e.dial(ep)
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	e.send(cs, "before")
	e.recv(cs)
	join := e.spawn("the graceful stop", func() {
		ep.GracefulStop()
		e.server("stopped")
	})
	e.awaitNotReady(c)
	for range 3 {
		e.send(cs, "during")
		e.recv(cs)
	}
	e.closeSend(cs)
	e.recv(cs)
	join()
}

func stopInFlight(e *env) {
	started := make(chan struct{}, 2)
	ep := e.serve(handlers{
		unary: func(ctx context.Context, _ *message) (*message, error) {
			started <- struct{}{}
			e.wait(ctx.Done(), "the end of the handler's context")
			e.note("unary handler", "%s", showError(ctx.Err()))
			return nil, ctx.Err()
		},
		bidi: func(ss grpc.ServerStream) error {
			started <- struct{}{}
			err := ss.RecvMsg(new(message))
			e.wait(ss.Context().Done(), "the end of the handler's context")
			e.note("bidi handler", "failed %v, context %s", err != nil, showError(ss.Context().Err()))
			return err
		},
	})
	c := e.dial(ep)
	joinUnary := e.spawn("the unary call", func() {
		_, err := c.unary(e.ctx, text("x"))
		e.note("unary", "%s", showCode(err))
	})
	joinBidi := e.spawn("the stream", func() {
		cs, err := c.bidi(e.ctx)
		if err == nil {
			err = cs.RecvMsg(new(message))
		}
		e.note("bidi", "%s", showCode(err))
	})
	e.wait(receive(started, 2), "the start of both handlers")
	ep.Stop()
	joinUnary()
	joinBidi()
}

func closeInFlight(e *env) {
	started := make(chan struct{}, 2)
	ep := e.serve(handlers{
		unary: func(ctx context.Context, _ *message) (*message, error) {
			started <- struct{}{}
			e.wait(ctx.Done(), "the end of the handler's context")
			e.note("unary handler", "%s", showError(ctx.Err()))
			return nil, ctx.Err()
		},
		bidi: func(ss grpc.ServerStream) error {
			started <- struct{}{}
			e.wait(ss.Context().Done(), "the end of the handler's context")
			e.note("bidi handler", "%s", showError(ss.Context().Err()))
			return ss.Context().Err()
		},
	})
	c := e.dial(ep)
	joinUnary := e.spawn("the unary call", func() { e.note("unary", "%s", showReply(c.unary(e.ctx, text("x")))) })
	joinBidi := e.spawn("the stream", func() {
		cs, err := c.bidi(e.ctx)
		e.note("bidi", "open: %s", showError(err))
		e.note("bidi", "receive: %s", showError(cs.RecvMsg(new(message))))
		e.note("bidi", "send: %s", showError(cs.SendMsg(text("x"))))
		e.note("bidi", "receive: %s", showError(cs.RecvMsg(new(message))))
	})
	e.wait(receive(started, 2), "the start of both handlers")
	e.client("close: %s", showError(c.Close()))
	joinUnary()
	joinBidi()
}

// receive gives an event for the n-th value of a channel.
func receive(c <-chan struct{}, n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			<-c
		}
	}()
	return done
}

func nobodyThere(e *env) {
	ep := e.serve(handlers{unary: echoUnary})
	ep.Stop()
	c := e.dialIdle(ep)
	_, err := c.unary(e.ctx, text("x"))
	e.client("%s", showCode(err))
	e.states(c, func(sc StateConn) {
		if e.awaitState(sc, connectivity.TransientFailure) {
			e.client("the state became TransientFailure")
		}
	})
	ctx, cancel := context.WithTimeout(e.ctx, 50*time.Millisecond)
	defer cancel()
	_, err = c.unary(ctx, text("x"), grpc.WaitForReady(true))
	e.client("waiting to the deadline: %s", showCode(err))
	ctx, cancel = context.WithCancel(e.ctx)
	cancel()
	_, err = c.unary(ctx, text("x"), grpc.WaitForReady(true))
	e.client("waiting, canceled: %s", showCode(err))

	// Whether the call begins before or after the server is back, it waits.
	join := e.spawn("the waiting call", func() {
		e.note("waiting", "%s", showReply(c.unary(e.ctx, text("patient"), grpc.WaitForReady(true))))
	})
	ep.Restart(e.tb)
	e.states(c, func(sc StateConn) { sc.ResetConnectBackoff() })
	join()
	m, err := c.unary(e.ctx, text("at last"))
	if status.Code(err) == codes.Unavailable {
		e.client("still unavailable")
	}
	e.client("%s", showReply(m, err))
}
