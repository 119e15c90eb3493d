package host_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// receive waits for a value, longer than calls take to end with a testContext.
func receive[T any](tb testing.TB, from <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(2 * patience):
		tb.Fatalf("waited in vain for %s\n%s", what, stacks())
		panic("unreachable")
	}
}

// stacks are those of all goroutines.
func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// journal is what has happened, in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) note(event string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event)
}

func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

// Job is a class whose objects tell when they are closed.
type Job struct {
	journal *journal
	begun   chan struct{}
	finish  chan struct{}
	closed  chan struct{}
}

// Run ends when it is told to, whatever its context says.
func (j *Job) Run() {
	close(j.begun)
	<-j.finish
	j.journal.note("the method ends")
}

func (j *Job) Close() error {
	j.journal.note("the object is closed")
	close(j.closed)
	return nil
}

type remoteJob struct {
	host.Object
	Run func(context.Context) error
}

// Shutdown gives notice, takes no more calls, awaits those that run or lets them
// fail, and closes objects after that.
func TestShutdownOrder(t *testing.T) {
	for _, transport := range transports() {
		for _, forward := range []bool{true, false} {
			for _, inTime := range []bool{true, false} {
				name := transport + map[bool]string{true: " forward", false: " back"}[forward] + map[bool]string{true: "", false: " too late"}[inTime]
				t.Run(name, func(t *testing.T) { testShutdownOrder(t, transport, forward, inTime) })
			}
		}
	}
}

func testShutdownOrder(t *testing.T, transport string, forward, inTime bool) {
	leak.Check(t)
	events := new(journal)
	left := make(chan struct{}, 1)
	leaver := newHost(t, "leaver", host.WithHooks(host.Hooks{Status: func(s host.Status) {
		if s.Target == "" {
			events.note(string(s.State))
		}
	}}))
	caller := newHost(t, "caller", host.WithHooks(host.Hooks{Leave: func(*host.Link, string) { left <- struct{}{} }}))
	defer closeHosts(caller, leaver)
	job := &Job{journal: events, begun: make(chan struct{}), finish: make(chan struct{}), closed: make(chan struct{})}
	if _, err := leaver.ExportClass("Job", func() *Job { return job }); err != nil {
		t.Fatal(err)
	}
	export(t, leaver, "ping", func() {})
	if forward {
		connect(t, caller, listen(t, leaver, transport))
	} else {
		connect(t, leaver, listen(t, caller, transport))
	}
	held, err := require[func(context.Context) (*remoteJob, error)](t, caller, "Job")(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	ping := require[func() error](t, caller, "ping")
	ran := make(chan error, 1)
	go func() { ran <- held.Run(testContext(t)) }()
	receive(t, job.begun, "the method's begin")

	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- leaver.Shutdown(ctx) }()
	receive(t, left, "the notice")
	err = ping()
	if e, ok := errors.AsType[*host.Error](err); !ok || e.Code() != codes.Unavailable || e.Sent() {
		t.Errorf("a call after the notice: %v", err)
	}
	want := []string{"closing"}
	if got := events.list(); !slices.Equal(got, want) {
		t.Errorf("while the method runs: %q, want %q", got, want)
	}
	if !inTime {
		cancel()
		if err := receive(t, down, "Shutdown"); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		err := receive(t, ran, "the call")
		if e, ok := errors.AsType[*host.Error](err); !ok || status.Code(err) != codes.Unavailable || !e.Sent() {
			t.Errorf("the call that was left ends with %v", err)
		}
		close(job.finish)
		receive(t, job.closed, "the object's end")
		got := slices.DeleteFunc(events.list(), func(s string) bool { return s == "closed" })
		if want := []string{"closing", "the method ends", "the object is closed"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		return
	}
	close(job.finish)
	if err := receive(t, ran, "the call"); err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	if err := receive(t, down, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got, want := events.list(), []string{"closing", "the method ends", "the object is closed", "closed"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
