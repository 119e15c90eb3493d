package explore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore"
	"github.com/carp-rpc/carp-go/internal/explore/atomic"
)

// TestChooseGivesEachNumber, in every combination, at each step and beside other threads.
func TestChooseGivesEachNumber(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var x atomic.Uint32
		var a, b, c int
		s.Go("a", func() {
			x.Add(1)
			a = explore.Choose(2)
			b = explore.Choose(2)
			if a == 1 {
				x.Add(1)
				c = explore.Choose(3)
			}
		})
		s.Go("b", func() { x.Add(1) })
		return func() string { return fmt.Sprint(a, b, c) }
	})
	wantOutcomes(t, got, "0 0 0", "0 1 0", "1 0 0", "1 0 1", "1 0 2", "1 1 0", "1 1 1", "1 1 2")
}

// TestSpawned: a thread that another starts comes after what came before its start, and
// runs beside what follows.
func TestSpawned(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		var x atomic.Uint32
		var order strings.Builder
		done := make(chan struct{}, 2)
		step := func(name string) {
			x.Add(1)
			order.WriteString(name)
		}
		s.Go("parent", func() {
			step("a")
			for _, name := range []string{"b", "c"} {
				explore.Go(func() {
					step(name)
					explore.Offer(done)
					done <- struct{}{}
				})
			}
			step("d")
			explore.Recv(done)
			explore.Recv(done)
		})
		return order.String
	})
	wantOutcomes(t, got, "abcd", "abdc", "acbd", "acdb", "adbc", "adcb")
}

// TestSelectTakesAny: of channels that are ready, each is taken in some run, and a wait ends
// when any of them is.
func TestSelectTakesAny(t *testing.T) {
	got := outcomes(t, func(s *explore.Schedule) func() string {
		wake, done := make(chan struct{}, 1), make(chan struct{})
		var took int
		s.Go("waker", func() {
			explore.Offer(wake)
			wake <- struct{}{}
		})
		s.Go("ender", func() { explore.Close(done) })
		s.Go("sleeper", func() {
			took = explore.Select(wake, (<-chan struct{})(done), (chan struct{})(nil))
			if took == 0 {
				explore.Take(wake)
			}
		})
		return func() string { return fmt.Sprint(took, len(wake)) }
	})
	wantOutcomes(t, got, "0 0", "1 1")
}

func TestSelectThatNobodyWakes(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		wake := make(chan struct{}, 1)
		s.Go("waker", func() {
			explore.Offer(wake)
			wake <- struct{}{}
		})
		for _, name := range []string{"a", "b"} {
			s.Go(name, func() { explore.Take(wakeOf(explore.Select(wake), wake)) })
		}
	})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "nobody can go on") {
		t.Errorf("%d runs: %v", r.Runs, r.Err)
	}
}

func wakeOf(_ int, ch chan struct{}) <-chan struct{} { return ch }

// TestGoexit: the deferred functions take steps, and nothing else of the thread does.
func TestGoexit(t *testing.T) {
	r := explore.Run(explore.Options{}, func(s *explore.Schedule) {
		var x atomic.Uint32
		s.Go("a", func() {
			defer x.Add(1)
			x.Add(1)
			explore.Goexit()
			x.Add(1)
		})
		s.AtEnd(func() error {
			if x.Load() != 2 {
				return errors.New("not 2 steps")
			}
			return nil
		})
	})
	if r.Err != nil {
		t.Error(r.Err)
	}
}

// TestSampleFindsLostUpdate, which takes one change of threads in the right place.
func TestSampleFindsLostUpdate(t *testing.T) {
	r := explore.Sample(1000, 1, func(s *explore.Schedule) {
		var x, y atomic.Uint32
		for _, name := range []string{"a", "b"} {
			s.Go(name, func() {
				for range 10 {
					y.Add(1)
				}
				x.Store(x.Load() + 1)
			})
		}
		s.AtEnd(func() error {
			if x.Load() != 2 {
				return errors.New("lost")
			}
			return nil
		})
	})
	if r.Err == nil || r.Runs == 1 || !strings.Contains(r.Trace, "thread_test.go") {
		t.Errorf("%d runs: %v\n%s", r.Runs, r.Err, r.Trace)
	}
}
