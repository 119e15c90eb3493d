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
