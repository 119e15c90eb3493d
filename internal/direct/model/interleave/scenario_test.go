//go:build explore

// Package interleave_test explores who reads a connection. It compiles only with the overlay
// that the test of the folder above makes, and is run by it.
package interleave_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/explore"
)

// soak tells whether there is time for larger scenarios.
var soak = os.Getenv("CARP_SOAK") == "1"

// exhaust explores a scenario to its end and wants nothing to be wrong.
func exhaust(t *testing.T, scenario func(s *explore.Schedule)) {
	t.Helper()
	if !explored(t, 200_000, scenario) {
		t.Error("not complete")
	}
}

// explored tells whether all orders were run, and there weren't too many.
func explored(t *testing.T, most int, scenario func(s *explore.Schedule)) bool {
	t.Helper()
	start := time.Now()
	r := explore.Run(explore.Options{MaxRuns: most, MaxSteps: 500}, scenario)
	if r.Err != nil {
		t.Fatalf("run %d: %v\n%s", r.Runs, r.Err, r.Trace)
	}
	t.Logf("%d orders of up to %d steps in %v, complete %v", r.Runs, r.Steps, time.Since(start).Round(time.Millisecond), r.Complete)
	return r.Complete
}

// large is a scenario whose orders take a minute or more: some of them are drawn, and all are
// run, or the first 50,000, if there is time.
func large(t *testing.T, scenario func(s *explore.Schedule)) {
	t.Helper()
	sample(t, scenario)
	if soak {
		explored(t, 50_000, scenario)
	}
}

// samples is how many orders are drawn of a scenario that has too many.
func samples() int {
	if soak {
		return 20_000
	}
	return 3_000
}

// sample explores some orders of a scenario and wants nothing to be wrong.
func sample(t *testing.T, scenario func(s *explore.Schedule)) {
	t.Helper()
	seed := uint64(1)
	if soak {
		seed = uint64(time.Now().UnixNano())
	}
	start := time.Now()
	r := explore.Sample(samples(), seed, scenario)
	if r.Err != nil {
		t.Fatalf("seed %d, run %d: %v\n%s", seed, r.Runs, r.Err, r.Trace)
	}
	t.Logf("%d orders, with seed %d, of up to %d steps in %v", r.Runs, seed, r.Steps, time.Since(start).Round(time.Millisecond))
}

// world is a connection under exploration, and its peer's end.
type world struct {
	c    *direct.Conn
	peer *direct.ModelLink
}

func newWorld(opt direct.Options) *world {
	a, b := direct.ModelLinks(4 << 10)
	w := &world{direct.ModelConn(a, opt), b}
	w.c.Settle()
	return w
}

// open opens a stream, before the exploration begins.
func (w *world) open() *direct.Stream {
	s, err := w.c.Open(context.Background(), &direct.Request{Method: "/m"}, &direct.OpenOptions{Unary: true, MaxRecv: 64})
	must(err)
	return s
}

// answered waits for the end of a stream.
func answered(ctx context.Context, s *direct.Stream, wanted ...error) {
	_, err := s.Recv(ctx)
	want(err, append(wanted, io.EOF)...)
}

// ctx is a context that ends by itself at a step of its own.
type ctx struct {
	context.Context
	done  chan struct{}
	ended bool
}

func newCtx() *ctx { return &ctx{Context: context.Background(), done: make(chan struct{})} }

func (c *ctx) Done() <-chan struct{} { return c.done }

func (c *ctx) Err() error {
	explore.Touch((<-chan struct{})(c.done), explore.Read)
	if c.ended {
		return context.Canceled
	}
	return nil
}

func (c *ctx) cancel() {
	explore.Close(c.done)
	c.ended = true
}

// note puts a token into ch, which has room.
func note(ch chan struct{}) {
	explore.Offer(ch)
	ch <- struct{}{}
}

// must stops the thread with an error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// want panics unless err is one of those given.
func want(err error, wanted ...error) {
	for _, w := range wanted {
		if errors.Is(err, w) {
			return
		}
	}
	panic(fmt.Sprintf("error %v, want one of %v", err, wanted))
}
