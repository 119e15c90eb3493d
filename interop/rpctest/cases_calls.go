package rpctest

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
)

// callCases are the four kinds of call when all goes well.
func callCases() []testCase {
	list := []testCase{
		{
			name: "calls/unary",
			rule: "A unary call gives back the reply of the handler.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				e.client("%s", showReply(c.unary(e.ctx, text("hello"))))
				e.client("%s", showReply(c.unary(e.ctx, text("again"))))
			},
		},
		{
			name: "calls/bidi ping-pong",
			rule: "Messages of a bidirectional stream can answer each other one by one.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: echoStream(e)})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				for i := range 3 {
					e.send(cs, fmt.Sprint("ping ", i))
					e.recv(cs)
				}
				e.closeSend(cs)
				e.recv(cs)
			},
		},
		{
			name: "calls/bidi answered after half-close",
			rule: "A handler may read everything until io.EOF before it sends its first message.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					n := 0
					for ss.RecvMsg(new(message)) == nil {
						n++
					}
					for i := range n {
						if err := ss.SendMsg(text(fmt.Sprint("reply ", i))); err != nil {
							return err
						}
					}
					return nil
				}})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				for range 3 {
					e.send(cs, "x")
				}
				e.closeSend(cs)
				e.drain(cs)
			},
		},
		{
			name: "calls/thousand messages in order",
			rule: "The messages of a stream arrive in the order they were sent in, in both directions.",
			run: func(e *env) {
				c := e.pair(handlers{bidi: echoStream(e)})
				cs, err := c.bidi(e.ctx)
				e.client("open: %s", showError(err))
				join := e.spawn("sending", func() {
					for i := range 1000 {
						if err := cs.SendMsg(text(fmt.Sprint(i))); err != nil {
							e.note("sender", "%d: %s", i, showError(err))
							return
						}
					}
					cs.CloseSend()
				})
				e.drain(cs)
				join()
			},
		},
	}
	for _, n := range []int{0, 1, 3} {
		list = append(list, clientStreamCase(n), serverStreamCase(n))
	}
	return list
}

func clientStreamCase(n int) testCase {
	return testCase{
		name: fmt.Sprintf("calls/client stream of %d", n),
		rule: "A client stream carries any number of messages, none included, and ends with one reply.",
		run: func(e *env) {
			c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
				e.readAll(ss)
				return ss.SendMsg(text("sum"))
			}})
			cs, err := c.clientStream(e.ctx)
			e.client("open: %s", showError(err))
			for i := range n {
				e.send(cs, fmt.Sprint("part ", i))
			}
			e.closeSend(cs)
			e.recv(cs)
			e.recv(cs)
		},
	}
}

func serverStreamCase(n int) testCase {
	return testCase{
		name: fmt.Sprintf("calls/server stream of %d", n),
		rule: "A server stream carries any number of messages, none included, and ends with io.EOF, again and again.",
		run: func(e *env) {
			c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
				in := new(message)
				e.server("request: %s, %s", showError(ss.RecvMsg(in)), showMessage(in))
				for i := range n {
					if err := ss.SendMsg(text(fmt.Sprint("part ", i))); err != nil {
						return err
					}
				}
				return nil
			}})
			cs, err := c.serverStream(e.ctx, text("how many"))
			e.client("open: %s", showError(err))
			e.drain(cs)
			e.recv(cs)
		},
	}
}

// echoStream sends back what it reads until the client half-closes.
func echoStream(e *env) func(grpc.ServerStream) error {
	return func(ss grpc.ServerStream) error {
		for {
			in := new(message)
			if err := ss.RecvMsg(in); err == io.EOF {
				return nil
			} else if err != nil {
				e.server("echo reads: %s", showError(err))
				return err
			}
			if err := ss.SendMsg(in); err != nil {
				e.server("echo sends: %s", showError(err))
				return err
			}
		}
	}
}

// blockUntilDone is a unary handler that waits for the end of its context.
func blockUntilDone(e *env) func(context.Context, *message) (*message, error) {
	return func(ctx context.Context, _ *message) (*message, error) {
		e.wait(ctx.Done(), "the end of the handler's context")
		return nil, ctx.Err()
	}
}
