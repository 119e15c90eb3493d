package rpctest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// concurrentCases are about many things at once on one connection.
func concurrentCases() []testCase {
	return []testCase{
		{
			name: "concurrent/sending and receiving",
			rule: "One goroutine may send on a stream while another receives, on both sides, and nothing is lost or out of order.",
			run:  sendAndReceive,
		},
		{
			name: "concurrent/thousand streams",
			rule: "A thousand streams can be open on one connection, all of them moving.",
			run:  thousandStreams,
		},
		{
			name: "concurrent/unary calls",
			rule: "Calls made at the same time each get their own reply.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary})
				wrong := e.parallel(16, func(i int) error {
					for n := range 50 {
						want := fmt.Sprint(i, "/", n)
						m, err := c.unary(e.ctx, text(want))
						if err != nil || string(m.GetValue()) != want {
							return fmt.Errorf("%s: %s", want, showReply(m, err))
						}
					}
					return nil
				})
				e.client("wrong: %v", wrong)
			},
		},
		{
			name: "concurrent/limit of calls",
			rule: "Calls above the server's limit wait on the client for earlier ones to end, a stream in NewStream, and give up with their context. No more handlers than that run at a time.",
			run:  limitOfCalls,
		},
		{
			name: "concurrent/handlers run side by side",
			rule: "A handler that waits for another call of the same connection is no deadlock.",
			run: func(e *env) {
				release := newSignal()
				started := newSignal()
				c := e.pair(handlers{unary: func(_ context.Context, m *message) (*message, error) {
					if string(m.GetValue()) == "release" {
						release.happened()
						return m, nil
					}
					started.happened()
					e.await(release, "the other call")
					return m, nil
				}})
				join := e.spawn("the waiting call", func() { e.note("waiting", "%s", showReply(c.unary(e.ctx, text("wait")))) })
				e.await(started, "the waiting handler")
				e.client("%s", showReply(c.unary(e.ctx, text("release"))))
				join()
			},
		},
		{
			name: "concurrent/calls back from a handler",
			rule: "A handler may call its own server over the same connection, several calls deep.",
			run: func(e *env) {
				var c client
				c = e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					if len(m.GetValue()) >= 5 {
						return m, nil
					}
					return c.unary(ctx, text(string(m.GetValue())+"x"))
				}})
				e.client("%s", showReply(c.unary(e.ctx, text(""))))
			},
		},
		{
			name: "concurrent/stalled stream, client does not read",
			rule: "A stream whose client does not read stops its own sender only.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, serverStream: func(ss grpc.ServerStream) error {
					if err := ss.RecvMsg(new(message)); err != nil {
						return err
					}
					return e.flood(ss.SendMsg)
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.serverStream(ctx, text("x"))
				e.client("open: %s", showError(err))
				e.client("first: %s", showError(cs.RecvMsg(new(message))))
				e.othersGoOn(c)
				e.awaitHandlersOf(cancel)
			},
		},
		{
			name: "concurrent/stalled stream, handler does not read",
			rule: "A stream whose handler does not read stops its own sender only.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, clientStream: func(ss grpc.ServerStream) error {
					e.wait(ss.Context().Done(), "the end of the handler's context")
					return nil
				}})
				ctx, cancel := context.WithCancel(e.ctx)
				cs, err := c.clientStream(ctx)
				e.client("open: %s", showError(err))
				join := e.spawn("sending", func() { e.note("sender", "%s", showError(e.flood(cs.SendMsg))) })
				e.othersGoOn(c)
				cancel()
				join()
			},
		},
		{
			name: "concurrent/opened and canceled in a loop",
			rule: "Streams that are opened and canceled at once leave nothing behind that stops later calls.",
			run: func(e *env) {
				c := e.pair(handlers{unary: echoUnary, bidi: func(ss grpc.ServerStream) error {
					return ss.RecvMsg(new(message))
				}})
				for range 200 {
					ctx, cancel := context.WithCancel(e.ctx)
					if _, err := c.bidi(ctx); err != nil {
						e.client("open: %s", showError(err))
					}
					cancel()
				}
				e.othersGoOn(c)
			},
		},
	}
}

// othersGoOn makes calls that must not be held up by what else is going on.
func (e *env) othersGoOn(c client) {
	for _, size := range []int{10, 100_000, 1_000_000} {
		m, err := c.unary(e.ctx, zeros(size))
		e.client("meanwhile, %d bytes: %s", size, showReply(m, err))
	}
}

// parallel runs f n times at once and counts the failures, of which it takes
// down the texts.
func (e *env) parallel(n int, f func(i int) error) (failed int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed++
				e.note("failures", "%v", err)
			}
		})
	}
	wg.Wait()
	return failed
}

func sendAndReceive(e *env) {
	const n = 2000
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if err := ss.SendMsg(text(fmt.Sprint("down ", i))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		e.server("received in order: %d", inOrder(ss.RecvMsg, "up"))
		return <-sent
	}})
	cs, err := c.bidi(e.ctx)
	e.client("open: %s", showError(err))
	join := e.spawn("sending", func() {
		for i := range n {
			if err := cs.SendMsg(text(fmt.Sprint("up ", i))); err != nil {
				e.note("sender", "%s", showError(err))
				return
			}
		}
		cs.CloseSend()
	})
	e.client("received in order: %d", inOrder(cs.RecvMsg, "down"))
	join()
}

// inOrder receives numbered messages to the end and counts those that come in
// order.
func inOrder(recv func(any) error, name string) int {
	n := 0
	for m := new(message); recv(m) == nil; m = new(message) {
		if string(m.GetValue()) != fmt.Sprint(name, " ", n) {
			break
		}
		n++
	}
	return n
}

func thousandStreams(e *env) {
	const n = 1000
	all := newSignal()
	var mu sync.Mutex
	open := 0
	c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
		mu.Lock()
		if open++; open == n {
			all.happened()
		}
		mu.Unlock()
		for m := new(message); ss.RecvMsg(m) == nil; {
			if err := ss.SendMsg(m); err != nil {
				return err
			}
		}
		return nil
	}})
	streams := make([]grpc.ClientStream, n)
	for i := range streams {
		cs, err := c.bidi(e.ctx)
		if err != nil {
			e.client("open %d: %s", i, showError(err))
			return
		}
		streams[i] = cs
	}
	e.await(all, "a thousand handlers at once")
	failed := e.parallel(n, func(i int) error {
		for round := range 3 {
			want := fmt.Sprint("stream ", i, " round ", round)
			if err := streams[i].SendMsg(text(want)); err != nil {
				return err
			}
			m := new(message)
			if err := streams[i].RecvMsg(m); err != nil || string(m.GetValue()) != want {
				return status.Errorf(status.Code(err), "%s: %s", want, showReply(m, err))
			}
		}
		streams[i].CloseSend()
		return nil
	})
	e.client("failed: %d", failed)
	for _, cs := range streams {
		cs.RecvMsg(new(message))
	}
}

func limitOfCalls(e *env) {
	const most = 2
	var running, peak atomic.Int32
	started, release := make(chan struct{}, most), newSignal()
	ep := e.serve(handlers{
		unary: func(_ context.Context, m *message) (*message, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for {
				p := peak.Load()
				if n <= p || peak.CompareAndSwap(p, n) {
					return m, nil
				}
			}
		},
		bidi: func(grpc.ServerStream) error {
			started <- struct{}{}
			e.await(release, "the release of the streams")
			return nil
		},
	}, func(cfg *ServerConfig) { cfg.MaxConcurrentStreams = most })
	c := e.dial(ep)
	var open []grpc.ClientStream
	for range most {
		cs, err := c.bidi(e.ctx)
		e.client("open: %s", showError(err))
		open = append(open, cs)
	}
	e.wait(receive(started, most), "the start of the streams")
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
	defer cancel()
	e.client("one more: %s", showReply(c.unary(ctx, text("x"))))
	_, err := c.bidi(ctx)
	e.client("one more stream: %s", showError(err))

	waiting := e.spawn("the waiting call", func() { e.note("waiting", "%s", showReply(c.unary(e.ctx, text("patient")))) })
	release.happened()
	for _, cs := range open {
		e.recv(cs)
	}
	waiting()
	wrong := e.parallel(8, func(int) error {
		for range 20 {
			if _, err := c.unary(e.ctx, text("x")); err != nil {
				return err
			}
		}
		return nil
	})
	e.client("wrong: %v", wrong)
	e.server("more than %d at a time: %v", most, peak.Load() > most)
}
