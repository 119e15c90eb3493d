package host_test

import (
	"context"
	"iter"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// Who calls a host that is closed hears Unavailable, although the function sees its context
// end and answers with that.
func TestCloseIsUnavailable(t *testing.T) {
	for _, transport := range append(transports(), "") {
		for _, direction := range []string{"forward", "back"} {
			t.Run(transport+direction, func(t *testing.T) {
				for range 2 {
					closeAndSee(t, transport, direction == "back")
				}
			})
		}
	}
}

// closeAndSee closes a host in the middle of calls; without a transport, of its own.
func closeAndSee(t *testing.T, transport string, back bool) {
	t.Helper()
	leak.Check(t)
	exporter, caller := newHost(t, "server"), newHost(t, "client")
	defer closeHosts(exporter, caller)
	switch {
	case transport == "":
		caller = exporter
	case back:
		connect(t, exporter, listen(t, caller, transport))
	default:
		connect(t, caller, listen(t, exporter, transport))
	}
	links := exporter.Links()
	begun := make(chan struct{}, 2)
	export(t, exporter, "wait", func(ctx context.Context) error {
		// It takes a while to cancel so many: what is done too late is seen.
		for range 1000 {
			_, cancel := context.WithCancel(ctx)
			defer cancel()
		}
		begun <- struct{}{}
		<-ctx.Done()
		for _, l := range links {
			if l.Err() == nil {
				t.Error("the function's context ends before the link: it could still answer")
			}
		}
		return ctx.Err()
	})
	export(t, exporter, "waits", func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			begun <- struct{}{}
			<-ctx.Done()
			yield(0, ctx.Err())
		}
	})
	wait := require[func(context.Context) error](t, caller, "wait")
	waits := require[func(context.Context) (iter.Seq2[int, error], error)](t, caller, "waits")
	ended := make(chan error, 2)
	go func() { ended <- wait(testContext(t)) }()
	go func() {
		items, err := waits(testContext(t))
		if err == nil {
			_, err = collect(t, items)
		}
		ended <- err
	}()
	for range 2 {
		receive(t, begun, "a function to begin")
	}
	exporter.Close()
	for range 2 {
		if err := receive(t, ended, "the end of a call"); status.Code(err) != codes.Unavailable {
			t.Errorf("%v, want Unavailable", err)
		}
	}
}

// A function that waits for another one of its host, with a context that never ends, doesn't
// hold up Close: not even one that the goroutine runs which reads the connection.
func TestCloseInsideCall(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) { testCloseInside(t, transport) })
	}
}

func testCloseInside(t *testing.T, transport string) {
	leak.Check(t)
	h, caller := newHost(t, "h"), newHost(t, "caller")
	defer closeHosts(h, caller)
	connect(t, caller, listen(t, h, transport))
	begun := make(chan struct{}, 1)
	export(t, h, "inner", func(ctx context.Context, wait bool) error {
		if !wait {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	inner := require[func(context.Context, bool) error](t, h, "inner")
	export(t, h, "outer", func(wait bool) error { return inner(context.Background(), wait) })
	outer := require[func(context.Context, bool) error](t, caller, "outer")
	for range 50 { // quick ones are run by the reader
		if err := outer(testContext(t), false); err != nil {
			t.Fatal(err)
		}
	}
	ended, closed := make(chan error, 1), make(chan error, 1)
	go func() { ended <- outer(testContext(t), true) }()
	receive(t, begun, "the inner function")
	go func() { closed <- h.Close() }()
	if err := receive(t, closed, "Close"); err != nil {
		t.Error(err)
	}
	if err := receive(t, ended, "the call"); status.Code(err) != codes.Unavailable {
		t.Errorf("the call has ended with %v", err)
	}
}
