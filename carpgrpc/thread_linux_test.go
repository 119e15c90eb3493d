package carpgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// With HandlerGoroutines, the thread that a handler locks and does not unlock ends with it:
// no other call ever runs on it.
func TestLockedThreadEndsWithItsHandler(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	threads := make(chan int, 1)
	serveHandlers(t, handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		runtime.LockOSThread()
		threads <- syscall.Gettid()
		return &reply{Payload: r.Payload}, nil
	}}, lis, carpgrpc.HandlerGoroutines())
	_, c := directClient(t, target)
	for range 20 {
		if err := unary(t.Context(), c, 10); err != nil {
			t.Fatal(err)
		}
		if thread := <-threads; thread != os.Getpid() { // the first thread is kept, but not used any more
			awaitThreadEnd(t, thread)
		}
	}
}

func awaitThreadEnd(t *testing.T, thread int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < patience; <-tick.C {
		if _, err := os.Stat(fmt.Sprint("/proc/self/task/", thread)); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	t.Errorf("thread %d goes on after its handler", thread)
}
