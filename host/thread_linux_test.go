package host_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/host"
)

// With WithHandlerGoroutines the thread that a function locks, and leaves so, ends with it,
// over every wire and locally.
func TestHandlerGoroutines(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "lock", func() int {
			runtime.LockOSThread()
			return syscall.Gettid()
		})
		defer exporter.Unexport("lock")
		lock := require[func(context.Context) (int, error)](t, caller, "lock")
		for range 10 {
			thread, err := lock(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if thread != os.Getpid() { // the first thread is kept, but not used any more
				awaitThreadEnd(t, thread)
			}
		}
	}, host.WithHandlerGoroutines())
}

func awaitThreadEnd(t *testing.T, thread int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < patience; <-tick.C {
		if _, err := os.Stat(fmt.Sprint("/proc/self/task/", thread)); os.IsNotExist(err) {
			return
		}
	}
	t.Fatalf("thread %d goes on after its function", thread)
}
