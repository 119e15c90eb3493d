package rpctest

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// largeCases are about messages that are larger than what a transport holds at
// once, and many of them.
func largeCases() []testCase {
	return []testCase{
		{
			name: "large/both directions at once",
			rule: "Both sides may send large messages at the same time: nobody waits for the other for ever.",
			run:  bothDirections,
		},
		{
			name: "large/many at once",
			rule: "Many large messages may be on their way at once, on as many calls: each arrives.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				failed := e.parallel(32, func(i int) error {
					m := zeros(700_000)
					m.Value[i] = byte(i + 1)
					reply, err := c.unary(e.ctx, m)
					if err != nil || string(reply.GetValue()) != string(m.GetValue()) {
						return fmt.Errorf("call %d: %s", i, showReply(reply, err))
					}
					return nil
				})
				e.client("failed: %d", failed)
			},
		},
		{
			name: "large/canceled half-way",
			rule: "A large message whose call is canceled while it is on its way costs no other call anything.",
			run: func(e *env) {
				started := make(chan struct{}, 1)
				c := e.pair(handlers{unary: echoUnary, clientStream: func(ss grpc.ServerStream) error {
					started <- struct{}{}
					e.wait(ss.Context().Done(), "the end of the handler's context")
					return nil
				}})
				for range 3 {
					ctx, cancel := context.WithCancel(e.ctx)
					cs, err := c.clientStream(ctx)
					e.client("open: %s", showError(err))
					join := e.spawn("sending", func() { cs.SendMsg(zeros(3 << 20)) })
					e.wait(started, "the handler's start")
					cancel()
					join()
					e.othersGoOn(c)
					e.awaitHandlers()
				}
			},
		},
		{
			name: "large/read late",
			rule: "A client that begins to read after the handler has returned gets every message, and the trailer.",
			run: func(e *env) {
				returned := newSignal()
				c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
					defer returned.happened()
					ss.SetTrailer(pairs("t", "1"))
					for i := range 20 {
						if err := ss.SendMsg(&message{Value: numbered(i)[:8]}); err != nil {
							return err
						}
					}
					return errTest
				}})
				cs, err := c.serverStream(e.ctx, text(""))
				e.client("open: %s", showError(err))
				e.await(returned, "the handler's end")
				e.drain(cs)
				e.trailer(cs)
			},
		},
		{
			name: "large/slow reader",
			rule: "Messages that are sent faster than they are read wait, and arrive whole and in order.",
			run: func(e *env) {
				const count = 60
				c := e.pair(handlers{unary: echoUnary, bidi: func(ss grpc.ServerStream) error {
					for i := range count {
						m := zeros(100_000)
						m.Value[0] = byte(i)
						if err := ss.SendMsg(m); err != nil {
							return err
						}
					}
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				inOrder := 0
				for m := new(message); cs.RecvMsg(m) == nil; m = new(message) {
					if len(m.Value) > 90_000 && m.Value[0] == byte(inOrder) {
						inOrder++
					}
					// The reader has other things to do in between.
					if _, err := c.unary(e.ctx, text("x")); err != nil {
						e.client("other call: %s", showError(err))
					}
				}
				e.client("in order: %d", inOrder)
			},
		},
	}
}

func bothDirections(e *env) {
	const count, size = 8, 1_500_000
	// Each side reads while it sends: with flow control, sending everything
	// before reading anything would be a deadlock of the callers' own making.
	exchange := func(send, recv func(any) error) (received int, err error) {
		sent := make(chan error, 1)
		go func() {
			for range count {
				if err := send(zeros(size)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for received < count {
			m := new(message)
			if err := recv(m); err != nil {
				return received, err
			}
			if len(m.GetValue()) > size-10 {
				received++
			}
		}
		return received, <-sent
	}
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		n, err := exchange(ss.SendMsg, ss.RecvMsg)
		e.server("received %d: %s", n, showError(err))
		return nil
	}})
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	n, err := exchange(cs.SendMsg, cs.RecvMsg)
	e.client("received %d: %s", n, showError(err))
	e.closeSend(cs)
	e.recv(cs)
}
