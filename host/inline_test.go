package host_test

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// ranInline tells whether the caller was run by the goroutine that reads from shared
// memory.
func ranInline() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".runInline") {
			return true
		}
		if !more {
			return false
		}
	}
}

// Quick functions are run by the goroutine that reads, in either direction; what gives a
// stream is not, even if its name was a quick function's.
func TestQuickFunctionsRunInline(t *testing.T) {
	if !slices.Contains(transports(), "shm") {
		return // others have no such goroutine
	}
	for _, direction := range []string{"forward", "back"} {
		t.Run(direction, func(t *testing.T) {
			leak.Check(t)
			server, client := newHost(t, "server"), newHost(t, "client")
			connect(t, client, listen(t, server, "shm"))
			if direction == "back" {
				runInline(t, client, server)
			} else {
				runInline(t, server, client)
			}
			closeHosts(server, client)
		})
	}
}

func runInline(t *testing.T, exporter, caller *host.Host) {
	ctx := testContext(t)
	export(t, exporter, "where", ranInline)
	where := require[func(context.Context) (bool, error)](t, caller, "where")
	for inline := false; !inline; { // anybody can be preempted, and seem slow
		var err error
		if inline, err = where(ctx); err != nil {
			t.Fatal("a quick function is never run in line:", err)
		}
	}
	if err := exporter.Unexport("where"); err != nil {
		t.Fatal(err)
	}
	export(t, exporter, "where", func() iter.Seq[bool] {
		return func(yield func(bool) bool) { yield(ranInline()) }
	})
	stream := require[func() (iter.Seq2[bool, error], error)](t, caller, "where")
	for range 10 {
		values, err := stream()
		if err != nil {
			t.Fatal(err)
		}
		if all, err := collect(t, values); !slices.Equal(all, []bool{false}) || err != nil {
			t.Errorf("a stream was run in line: %v, %v", all, err)
		}
	}
}
