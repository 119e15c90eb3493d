package rpctest

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
)

// cancelCases are about a client that gives up, at each stage of a call.
func cancelCases() []testCase {
	return []testCase{
		{
			name: "cancel/before the call",
			rule: "A call with a canceled context fails with Canceled and never reaches a handler.",
			run: func(e *env) {
				c := e.pair(handlers{
					unary: func(context.Context, *message) (*message, error) { e.server("called"); return text(""), nil },
					bidi:  func(grpc.ServerStream) error { e.server("called"); return nil },
				})
				ctx, cancel := context.WithCancel(e.ctx)
				cancel()
				e.client("unary: %s", showReply(c.unary(ctx, text("x"))))
				_, err := c.bidi(ctx)
				e.client("bidi: %s", showError(err))
			},
		},
		{
			name: "cancel/while the handler runs, unary",
			rule: "Canceling a unary call ends it with Canceled at once, and ends the handler's context.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
					started.happened()
					e.wait(ctx.Done(), "the end of the handler's context")
					e.server("context: %s, cause %s", showError(ctx.Err()), showError(context.Cause(ctx)))
					return text("too late"), nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				join := e.spawn("the call", func() { e.client("%s", showReply(c.unary(ctx, text("x")))) })
				e.await(started, "the handler's start")
				cancel()
				join()
			},
		},
		{
			name: "cancel/cause stays at home",
			rule: "The cause of a client's cancellation is neither in its error nor known to the server.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
					started.happened()
					e.wait(ctx.Done(), "the end of the handler's context")
					e.server("cause %s", showError(context.Cause(ctx)))
					return nil, ctx.Err()
				}})
				ctx, cancel := context.WithCancelCause(e.ctx)
				join := e.spawn("the call", func() { e.client("%s", showReply(c.unary(ctx, text("x")))) })
				e.await(started, "the handler's start")
				cancel(errors.New("private"))
				join()
			},
		},
		{
			name: "cancel/mid stream, client receiving",
			rule: "Canceling a stream ends the client's RecvMsg, and everything the handler does with the stream, with Canceled.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.read(ss)
					e.write(ss, "first")
					e.wait(ss.Context().Done(), "the end of the handler's context")
					e.server("context: %s", showError(ss.Context().Err()))
					e.read(ss)
					e.write(ss, "late")
					e.server("header: %s", showError(ss.SetHeader(pairs("k", "v"))))
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.recv(cs)
				join := e.spawn("receiving", func() { e.recv(cs) })
				cancel()
				join()
				e.afterEnd(cs)
			},
		},
		{
			name: "cancel/mid stream, handler receiving",
			rule: "Canceling a stream ends the handler's blocked RecvMsg with Canceled.",
			run: func(e *env) {
				replied := newSignal()
				c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
					e.read(ss)
					e.write(ss, "the reply")
					replied.happened()
					e.read(ss)
					e.server("context: %s", showError(ss.Context().Err()))
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.clientStream(ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.header(cs)
				e.await(replied, "the reply") // its header may be here before SendMsg returns
				cancel()
				e.recv(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "cancel/client blocked in SendMsg",
			rule: "Canceling a stream ends a SendMsg that waits for a handler that does not read: with io.EOF, the status comes from RecvMsg.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					started.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				join := e.spawn("sending", func() { e.client("send: %s", showError(e.flood(cs.SendMsg))) })
				e.await(started, "the handler's start")
				cancel()
				join()
				e.recv(cs)
			},
		},
		{
			name: "cancel/handler blocked in SendMsg",
			rule: "Canceling a stream ends a handler's SendMsg that waits for a client that does not read.",
			run: func(e *env) {
				c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
					if err := ss.RecvMsg(new(message)); err != nil {
						return err
					}
					err := e.flood(ss.SendMsg)
					e.server("send: %s", showError(err))
					return err
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.serverStream(ctx, text("x"))
				e.client("open: %s", showError(err))
				e.client("first: %s", showError(cs.RecvMsg(new(message))))
				cancel()
			},
		},
		{
			name: "cancel/after half-close",
			rule: "A half-closed call can be canceled like any other; the handler that has read io.EOF learns it from its context.",
			run: func(e *env) {
				read := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.readAll(ss)
					read.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					e.server("context: %s", showError(ss.Context().Err()))
					e.write(ss, "late")
					return errors.New("lost")
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.closeSend(cs)
				e.await(read, "the handler's io.EOF")
				cancel()
				e.recv(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "cancel/while waiting for the header",
			rule: "Canceling a stream ends Header: nil metadata and a nil error, the status comes from RecvMsg.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					started.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				join := e.spawn("header", func() { e.header(cs) })
				e.await(started, "the handler's start")
				cancel()
				join()
				e.recv(cs)
			},
		},
		{
			name: "cancel/of the handler's own child context",
			rule: "What a handler does to contexts it derives does not touch the call.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					_, cancel := context.WithCancel(ss.Context())
					cancel()
					e.read(ss)
					e.write(ss, "fine")
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.send(cs, "x")
				e.drain(cs)
			},
		},
		{
			name: "cancel/contexts end with the call",
			rule: "The context of a handler ends when the handler has returned, and that of a client stream when its end has been received.",
			run:  contextsEnd,
		},
		{
			name: "cancel/one call of many",
			rule: "Canceling one call leaves the others of the connection alone.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, bidi: func(ss grpc.ServerStream) error {
					for m := new(message); ss.RecvMsg(m) == nil; {
						if err := ss.SendMsg(m); err != nil {
							return err
						}
					}
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				doomed, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				other, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				e.send(doomed, "a")
				e.recv(doomed)
				e.send(other, "b")
				cancel()
				e.recv(other)
				e.client("doomed: %s", showError(doomed.RecvMsg(new(message))))
				e.send(other, "c")
				e.recv(other)
				e.closeSend(other)
				e.recv(other)
				e.client("%s", showReply(c.unary(e.ctx, text("d"))))
			},
		},
	}
}

func contextsEnd(e *env) {
	ended := make(chan string, 2)
	watch := func(ctx context.Context) {
		e.wait(ctx.Done(), "the end of a handler's context")
		ended <- showError(ctx.Err())
	}
	c := e.pair(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) {
			go watch(ctx)
			return m, nil
		},
		bidi: func(ss grpc.ServerStream) error {
			go watch(ss.Context())
			return nil
		},
	})
	e.client("%s", showReply(c.unary(e.ctx, text("x"))))
	e.server("after unary: %s", <-ended)
	cs, err := c.bidi(e.ctx)
	e.client("open: %s, context %s", showError(err), showError(cs.Context().Err()))
	e.recv(cs)
	e.client("context after the end: %s", showError(cs.Context().Err()))
	e.server("after bidi: %s", <-ended)
}

// afterEnd uses a stream that has ended.
func (e *env) afterEnd(cs grpc.ClientStream) {
	e.client("afterwards: header and trailer")
	e.header(cs)
	e.trailer(cs)
	e.recv(cs)
	e.closeSend(cs)
	e.client("context: %s", showError(cs.Context().Err()))
}

// flood sends messages until that fails.
func (e *env) flood(send func(any) error) error {
	m := zeros(64 << 10)
	for {
		if err := send(m); err != nil {
			return err
		}
		if e.ctx.Err() != nil {
			return io.ErrNoProgress // the call outlives the case: never equal to the reference
		}
	}
}
