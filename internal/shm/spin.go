package shm

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A Spinner waits for a short time without sleeping. Waking a sleeping core costs
// tens of microseconds where a spinning reader sees a byte in a fraction of one,
// but each spin that ends in vain is time stolen from somebody. So it keeps to
// what paid off lately, and all spinners of the process share one budget.
//
// A Spinner is for one goroutine at a time. The zero value never spins.
type Spinner struct {
	Max time.Duration // the longest spin; 0 never spins

	limit time.Duration // of the next spin
	skip  int           // waits to pass by before the next trial
	fails int           // trials in vain since the last success
}

const (
	spinBatch  = 16 // polls between two looks at the clock
	spinPause  = 4  // hints between two polls
	spinFloor  = 2 * time.Microsecond
	maxSkip    = 256
	spinMargin = 4 // a spin may take this many times as long as the last good one
)

// Spin polls ready until it says true, or the time is up. It may decide not to
// poll at all.
func (s *Spinner) Spin(ready func() bool) bool {
	if s.Max == 0 || !s.due() || !enterSpin() {
		return false
	}
	defer leaveSpin()
	start := time.Now()
	for {
		for range spinBatch {
			if ready() {
				s.won(time.Since(start))
				return true
			}
			pause(spinPause)
		}
		if time.Since(start) >= s.limit {
			s.lost()
			return false
		}
		if budget.alone.Load() {
			runtime.Gosched() // the goroutine that we wait for may need our processor
		}
	}
}

// due tells whether this wait is one to spin in.
func (s *Spinner) due() bool {
	if s.skip > 0 {
		s.skip--
		return false
	}
	if s.limit == 0 {
		s.limit = s.Max
	}
	return true
}

func (s *Spinner) won(took time.Duration) {
	s.fails = 0
	s.limit = min(s.Max, max(spinFloor, spinMargin*took, s.limit-s.limit/8))
}

// lost makes the next trials shorter at first, and then rarer and rarer.
func (s *Spinner) lost() {
	s.fails++
	if s.limit > s.Max/4 {
		s.limit /= 2
		return
	}
	s.limit = s.Max
	s.skip = min(maxSkip, 1<<min(s.fails, 10))
}

// budget is what all spinners of the process share.
var budget struct {
	spinning atomic.Int32
	most     atomic.Int32 // spinners at a time; negative before the first look
	alone    atomic.Bool  // this process has one processor: spinners yield
	looks    atomic.Uint32
}

// budgetLooks is how many spins may pass until the budget is reckoned again.
const budgetLooks = 1024

func enterSpin() bool {
	if budget.looks.Add(1)%budgetLooks == 1 {
		reckonBudget()
	}
	if budget.spinning.Add(1) <= budget.most.Load() {
		return true
	}
	budget.spinning.Add(-1)
	return false
}

func leaveSpin() { budget.spinning.Add(-1) }

// reckonBudget lets half of the processors spin, one at least: as many as can
// be waited for by the other half. It lets none spin where this process has one
// CPU: whoever it waits for may need that very CPU.
func reckonBudget() {
	procs := runtime.GOMAXPROCS(0)
	most := max(1, procs/2)
	if cpus() < 2 {
		most = 0
	}
	budget.alone.Store(procs == 1)
	budget.most.Store(int32(most))
}
