package explore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore"
	"github.com/carp-rpc/carp-go/internal/explore/atomic"
	"github.com/carp-rpc/carp-go/internal/explore/sync"
)

// outcomes explores a scenario and lists how it can end.
func outcomes(t *testing.T, scenario func(s *explore.Schedule) (outcome func() string)) map[string]int {
	t.Helper()
	seen := map[string]int{}
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		outcome := scenario(s)
		s.AtEnd(func() error { seen[outcome()]++; return nil })
	})
	if r.Err != nil || !r.Complete {
		t.Fatalf("after %d runs: complete %v, %v\n%s", r.Runs, r.Complete, r.Err, r.Trace)
	}
	t.Logf("%d runs: %v", r.Runs, seen)
	return seen
}

func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("outcome %q was not found", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("outcomes %v, want only %q", got, want)
	}
}

// TestStoreLoad: with sequential consistency at least one of the two sees the other's
// store.
func TestStoreLoad(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var x, y atomic.Uint32
		var a, b uint32
		s.Go("a", func() { x.Store(1); a = y.Load() })
		s.Go("b", func() { y.Store(1); b = x.Load() })
		return func() string { return fmt.Sprint(a, b) }
	})
	wantOutcomes(t, got, "0 1", "1 0", "1 1")
}

func TestLostUpdate(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var x atomic.Uint32
		for i := range 3 {
			s.Go(fmt.Sprint(i), func() { x.Store(x.Load() + 1) })
		}
		return func() string { return fmt.Sprint(x.Load()) }
	})
	wantOutcomes(t, got, "1", "2", "3")
}

func TestMutexExcludes(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var mu sync.Mutex
		var x atomic.Uint32
		for i := range 3 {
			s.Go(fmt.Sprint(i), func() {
				mu.Lock()
				defer mu.Unlock()
				x.Store(x.Load() + 1)
			})
		}
		return func() string { return fmt.Sprint(x.Load()) }
	})
	wantOutcomes(t, got, "3")
}

// TestIndependentStepsAreNotReordered: three threads of three steps, each on its own
// object, have 1,680 orders and one class of them.
func TestIndependentStepsAreNotReordered(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		for i := range 3 {
			var x atomic.Uint32
			s.Go(fmt.Sprint(i), func() {
				for range 3 {
					x.Add(1)
				}
			})
		}
	})
	if r.Runs != 1 || !r.Complete {
		t.Errorf("%d runs, complete %v, want 1 run", r.Runs, r.Complete)
	}
}

// TestAllOrdersAreFound: two threads that append to one list have as many outcomes as
// there are ways to merge them.
func TestAllOrdersAreFound(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var x atomic.Uint32
		var order strings.Builder
		for _, name := range []string{"a", "b", "c"} {
			s.Go(name, func() {
				for range 2 {
					x.Add(1)
					order.WriteString(name)
				}
			})
		}
		return order.String
	})
	if len(got) != 90 { // 6! / (2! 2! 2!)
		t.Errorf("%d outcomes, want 90", len(got))
	}
	for order, n := range got {
		if n != 1 {
			t.Errorf("order %s was run %d times", order, n)
		}
	}
}

func TestDeadlockIsFound(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		var a, b sync.Mutex
		both := func(first, second *sync.Mutex) {
			first.Lock()
			defer first.Unlock()
			second.Lock()
			defer second.Unlock()
		}
		s.Go("ab", func() { both(&a, &b) })
		s.Go("ba", func() { both(&b, &a) })
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "nobody can go on") {
		t.Errorf("got %v, want a deadlock", r.Err)
	}
}

// TestLostTokenIsFound: a token offered to a channel that is full is lost, which makes
// no difference, unless it is looked for before it is waited for.
func TestLostTokenIsFound(t *testing.T) {
	scenario := func(look bool) func(s *explore.Schedule) {
		return func(s *explore.Schedule) {
			var done atomic.Bool
			wake := make(chan struct{}, 1)
			s.Go("waker", func() {
				done.Store(true)
				explore.Offer(wake)
				select {
				case wake <- struct{}{}:
				default:
				}
			})
			s.Go("sleeper", func() {
				if look && !done.Load() {
					explore.Look(wake)
					select {
					case <-wake: // a token from before is of no use, or is it?
					default:
					}
				}
				if !done.Load() {
					explore.Recv(wake)
				}
			})
		}
	}
	if r := explore.Run(explore.Options{}, scenario(false)); r.Err != nil || !r.Complete {
		t.Errorf("complete %v, %v\n%s", r.Complete, r.Err, r.Trace)
	}
	if r := explore.Run(explore.Options{}, scenario(true)); r.Err != nil || !r.Complete {
		// The token is put after done is stored, so who drops it sees done.
		t.Errorf("complete %v, %v\n%s", r.Complete, r.Err, r.Trace)
	}
}

func TestFailedCheckComesWithItsTrace(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		var x atomic.Uint32
		var seen uint32
		s.Go("writer", func() { x.Store(7) })
		s.Go("reader", func() { seen = x.Load() })
		s.AtEnd(func() error {
			if seen == 0 {
				return errors.New("too early")
			}
			return nil
		})
	})
	if r.Err == nil || r.Err.Error() != "too early" {
		t.Fatalf("got %v", r.Err)
	}
	if at := strings.Index(r.Trace, "reader"); at < 0 || at > strings.Index(r.Trace, "writer") {
		t.Errorf("the trace doesn't show the reader first:\n%s", r.Trace)
	}
	if !strings.Contains(r.Trace, "explore_test.go:") {
		t.Errorf("the trace doesn't say where the steps are:\n%s", r.Trace)
	}
}

func TestPanicIsFound(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		var x atomic.Uint32
		s.Go("a", func() { x.Add(1) })
		s.Go("b", func() {
			if x.Load() == 0 {
				panic("nothing there")
			}
		})
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "b panicked: nothing there") {
		t.Errorf("got %v", r.Err)
	}
}

func TestEndlessLoopIsFound(t *testing.T) {
	r := explore.Run(explore.Options{MaxSteps: 100}, func(s *explore.Schedule) {
		var x atomic.Uint32
		s.Go("a", func() {
			for x.Load() == 0 {
			}
		})
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "no end after") {
		t.Errorf("got %v", r.Err)
	}
}

// TestDaemonNeedNotEnd: it is unwound, with its deferred functions.
func TestDaemonNeedNotEnd(t *testing.T) {
	unwound := 0
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		var mu sync.Mutex
		wake := make(chan struct{}, 1)
		s.Daemon("daemon", func() {
			mu.Lock()
			defer mu.Unlock()
			defer func() { unwound++ }()
			explore.Recv(wake)
		})
		var x atomic.Uint32
		s.Go("other", func() { x.Add(1) })
	})
	if r.Err != nil || unwound != r.Runs {
		t.Errorf("%d of %d runs unwound it: %v", unwound, r.Runs, r.Err)
	}
}

// TestCrashAtEachStep has a thread crash in place of each of its steps in turn. What it
// leaves behind is cleared up by what follows the crash.
func TestCrashAtEachStep(t *testing.T) {
	for lives := 0; ; lives++ {
		crashed := false
		got := outcomes(t, func(s *explore.Schedule) func() string {
			crashed = false
			var x, over atomic.Uint32
			s.GoUntil("mortal", lives, func() {
				x.Add(1)
				x.Add(1)
			}, func() {
				crashed = true
				over.Store(1)
			})
			return func() string { return fmt.Sprint(x.Load(), over.Load()) }
		})
		if !crashed {
			wantOutcomes(t, got, "2 0")
			if lives != 2 {
				t.Errorf("it had %d steps, want 2", lives)
			}
			return
		}
		wantOutcomes(t, got, fmt.Sprint(lives, 1))
	}
}

func TestStandInsOutsideAnExploration(t *testing.T) {
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock()
	var x atomic.Uint64
	x.Store(3)
	ch := make(chan int, 1)
	ch <- 4
	if got := explore.Recv(ch); got != 4 || x.Load() != 3 {
		t.Errorf("got %d and %d", got, x.Load())
	}
}
