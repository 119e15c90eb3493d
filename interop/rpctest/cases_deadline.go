package rpctest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A call's deadline runs on both sides, and chance decides which side notices
// first. Two contexts take the chance out of it: with one the client never
// notices, with the other the server's clock has an hour left.

// expiring is a context whose deadline passes when the case says so.
type expiring struct {
	context.Context
	deadline time.Time
	done     chan struct{}

	mu  sync.Mutex
	err error
}

func newExpiring(parent context.Context, deadline time.Time) *expiring {
	return &expiring{Context: parent, deadline: deadline, done: make(chan struct{})}
}

func (c *expiring) Deadline() (time.Time, bool) { return c.deadline, true }
func (c *expiring) Done() <-chan struct{}       { return c.done }

func (c *expiring) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// expire lets the deadline pass.
func (c *expiring) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = context.DeadlineExceeded
		close(c.done)
	}
}

// farDeadline is a context that only the client sees expire.
func (e *env) farDeadline() *expiring { return newExpiring(e.ctx, time.Now().Add(time.Hour)) }

// showGivenUp shows how a server's deadline ends what a handler does. grpc-go
// cancels the handler's context when its timer fires, at the moment at which
// the context's own deadline passes: either can come first.
func showGivenUp(err error) string {
	switch status.Code(status.FromContextError(err).Err()) {
	case codes.Canceled, codes.DeadlineExceeded:
		return "given up"
	}
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return "given up"
	}
	return showError(err)
}

// shortly is how far ahead the deadlines are that do pass: long enough for a
// handler to have started, unless the machine is busy.
const shortly = 400 * time.Millisecond

// inTime runs a part of a case whose handler has to start before the deadline that
// the part is given. Where a busy machine kept it from that, nothing has been shown,
// and the part runs again with more time.
func (e *env) inTime(part func(deadline time.Time, started func(context.Context))) {
	for timeout := shortly; ; timeout *= 5 {
		before := e.taken()
		var inTime atomic.Bool
		part(time.Now().Add(timeout), func(ctx context.Context) { inTime.Store(ctx.Err() == nil) })
		if e.awaitHandlers(); inTime.Load() || timeout > e.limit {
			return
		}
		e.strike(before)
	}
}

// deadlineCases are about a call's deadline at each of its stages.
func deadlineCases() []testCase {
	return []testCase{
		{
			name: "deadline/passed before the call",
			rule: "A call whose deadline has passed fails with DeadlineExceeded and never reaches a handler.",
			run: func(e *env) {
				c := e.pair(handlers{
					unary: func(context.Context, *message) (*message, error) { e.server("called"); return text(""), nil },
					bidi:  func(grpc.ServerStream) error { e.server("called"); return nil },
				})
				ctx, cancel := context.WithDeadline(e.ctx, time.Now().Add(-time.Second))
				defer cancel()
				e.client("unary: %s", showReply(c.unary(ctx, text("x"))))
				_, err := c.bidi(ctx)
				e.client("bidi: %s", showError(err))
			},
		},
		{
			name: "deadline/travels",
			rule: "The handler's context has the client's deadline, and none when the client has none.",
			run:  deadlineTravels,
		},
		{
			name: "deadline/of years",
			rule: "Very long deadlines travel too.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, m *message) (*message, error) {
					d, ok := ctx.Deadline()
					e.server("deadline %v, more than 10 years ahead: %v", ok, time.Until(d) > 10*365*24*time.Hour)
					return m, nil
				}})
				for _, years := range []int{11, 100, 290} {
					ctx, cancel := context.WithTimeout(e.ctx, time.Duration(years)*365*24*time.Hour)
					e.client("%d years: %s", years, showReply(c.unary(ctx, text("x"))))
					cancel()
				}
			},
		},
		{
			name: "deadline/client notices, unary",
			rule: "A deadline that passes while the handler runs ends the call with DeadlineExceeded, and ends the handler's context.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
					started.happened()
					e.wait(ctx.Done(), "the end of the handler's context")
					e.server("context: %s, cause %s", showError(ctx.Err()), showError(context.Cause(ctx)))
					return text("too late"), nil
				}})
				ctx := e.farDeadline()
				join := e.spawn("the call", func() { e.client("%s", showReply(c.unary(ctx, text("x")))) })
				e.await(started, "the handler's start")
				ctx.expire()
				join()
			},
		},
		{
			name: "deadline/client notices, receiving",
			rule: "A deadline that passes mid stream ends the client's RecvMsg with DeadlineExceeded; the handler sees the call canceled.",
			run: func(e *env) {
				sent := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					e.write(ss, "first")
					sent.happened()
					e.read(ss)
					e.server("context: %s", showError(ss.Context().Err()))
					e.write(ss, "late")
					return nil
				}})
				ctx := e.farDeadline()
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				e.recv(cs)
				e.await(sent, "the return of the handler's SendMsg")
				join := e.spawn("receiving", func() { e.recv(cs) })
				ctx.expire()
				join()
				e.afterEnd(cs)
			},
		},
		{
			name: "deadline/client notices, sending",
			rule: "A deadline ends a SendMsg that waits for the handler to read: with io.EOF, RecvMsg tells DeadlineExceeded.",
			run: func(e *env) {
				started := newSignal()
				c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
					started.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					return nil
				}})
				ctx := e.farDeadline()
				cs, err := c.bidi(ctx)
				e.client("open: %s", showError(err))
				join := e.spawn("sending", func() { e.client("send: %s", showError(e.flood(cs.SendMsg))) })
				e.await(started, "the handler's start")
				ctx.expire()
				join()
				e.recv(cs)
			},
		},
		{
			name: "deadline/client notices, after half-close",
			rule: "A deadline ends a half-closed call too.",
			run: func(e *env) {
				read := newSignal()
				c := e.pair(handlers{clientStream: func(ss grpc.ServerStream) error {
					e.readAll(ss)
					read.happened()
					e.wait(ss.Context().Done(), "the end of the handler's context")
					e.server("context: %s", showError(ss.Context().Err()))
					return ss.SendMsg(text("late"))
				}})
				ctx := e.farDeadline()
				cs, err := c.clientStream(ctx)
				e.client("open: %s", showError(err))
				e.closeSend(cs)
				e.await(read, "the handler's io.EOF")
				ctx.expire()
				e.recv(cs)
				e.afterEnd(cs)
			},
		},
		{
			name: "deadline/server notices, unary",
			rule: "The server enforces the deadline by itself: the handler's context ends though the client says nothing.",
			run: func(e *env) {
				e.inTime(func(deadline time.Time, started func(context.Context)) {
					c := e.pair(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
						started(ctx)
						e.wait(ctx.Done(), "the end of the handler's context")
						e.server("context: %s, cause %s", showGivenUp(ctx.Err()), showGivenUp(context.Cause(ctx)))
						// A reply could still be faster than the server's timer.
						return nil, context.DeadlineExceeded
					}})
					_, err := c.unary(newExpiring(e.ctx, deadline), text("x"))
					e.client("%s", showCode(err))
				})
			},
		},
		{
			name: "deadline/server notices, stream",
			rule: "The server enforces the deadline of a stream: RecvMsg and SendMsg of the handler fail.",
			run: func(e *env) {
				e.inTime(func(deadline time.Time, started func(context.Context)) {
					c := e.pair(handlers{bidi: func(ss grpc.ServerStream) error {
						started(ss.Context())
						e.server("receive: %s", showGivenUp(ss.RecvMsg(new(message))))
						e.server("context: %s", showGivenUp(ss.Context().Err()))
						e.server("send: %s", showGivenUp(ss.SendMsg(text("late"))))
						return nil
					}})
					cs, err := c.bidi(newExpiring(e.ctx, deadline))
					e.client("open: %s", showError(err))
					if err == nil {
						e.client("%s", showCode(cs.RecvMsg(new(message))))
					}
				})
			},
		},
		{
			name: "deadline/server notices, sending",
			rule: "The server's deadline ends a handler's SendMsg that waits for a client that does not read.",
			run: func(e *env) {
				e.inTime(func(deadline time.Time, started func(context.Context)) {
					gaveUp := newSignal()
					c := e.pair(handlers{serverStream: func(ss grpc.ServerStream) error {
						defer gaveUp.happened()
						if err := ss.RecvMsg(new(message)); err != nil {
							return err
						}
						started(ss.Context())
						e.server("send: %s", showGivenUp(e.flood(ss.SendMsg)))
						return nil
					}})
					cs, err := c.serverStream(newExpiring(e.ctx, deadline), text("x"))
					e.client("open: %s", showError(err))
					if err == nil {
						e.await(gaveUp, "the end of the handler's sending")
					}
					for err == nil {
						err = cs.RecvMsg(new(message))
					}
					e.client("%s", showCode(err))
				})
			},
		},
		{
			name: "deadline/both notice",
			rule: "With an ordinary context the call ends with DeadlineExceeded, whoever notices first.",
			run: func(e *env) {
				c := e.pair(handlers{unary: blockUntilDone(e), bidi: func(ss grpc.ServerStream) error {
					return ss.RecvMsg(new(message))
				}})
				ctx, cancel := context.WithTimeout(e.ctx, shortly/4)
				defer cancel()
				_, err := c.unary(ctx, text("x"))
				e.client("unary: %s", showCode(err))
				ctx, cancel = context.WithTimeout(e.ctx, shortly/4)
				defer cancel()
				cs, err := c.bidi(ctx)
				if err == nil {
					err = cs.RecvMsg(new(message))
				}
				e.client("bidi: %s", showCode(err))
			},
		},
		{
			name: "deadline/handler's answer to it",
			rule: "A handler that fails with its own DeadlineExceeded before the deadline is believed.",
			run: func(e *env) {
				c := e.pair(handlers{unary: func(ctx context.Context, _ *message) (*message, error) {
					ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
					defer cancel()
					<-ctx.Done()
					return nil, ctx.Err()
				}})
				ctx, cancel := context.WithTimeout(e.ctx, time.Hour)
				defer cancel()
				e.client("%s", showReply(c.unary(ctx, text("x"))))
			},
		},
	}
}

func deadlineTravels(e *env) {
	type seen struct {
		at time.Time
		ok bool
	}
	at := make(chan seen, 1)
	report := func(ctx context.Context) {
		d, ok := ctx.Deadline()
		at <- seen{d, ok}
	}
	c := e.pair(handlers{
		unary: func(ctx context.Context, m *message) (*message, error) { report(ctx); return m, nil },
		bidi:  func(ss grpc.ServerStream) error { report(ss.Context()); return nil },
	})
	for _, timeout := range []time.Duration{0, 90 * time.Second, 10 * time.Minute, 100 * time.Hour} {
		ctx, cancel := e.ctx, context.CancelFunc(func() {})
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(e.ctx, timeout)
		}
		for _, kind := range []string{"unary", "bidi"} {
			if kind == "unary" {
				c.unary(ctx, text("x"))
			} else if cs, err := c.bidi(ctx); err == nil {
				cs.RecvMsg(new(message))
			}
			s := <-at
			// The deadline is sent as the time that is left, rounded, and
			// counted anew at the other end. A busy machine takes its time.
			left := time.Until(s.at)
			near := left > timeout-timeout/10-time.Minute && left < timeout+timeout/10
			e.server("%s with %v: deadline %v, near %v", kind, timeout, s.ok, s.ok && near)
		}
		cancel()
	}
}
