package shm

import (
	"runtime"
	"time"
)

// A Spinner waits for a short time without sleeping. Waking a sleeping core costs
// tens of microseconds where a spinning reader sees a byte in a fraction of one,
// but each spin in vain is time stolen from somebody. So spinning lives on credit: a
// spin that succeeds earns what it saved, a spin in vain costs what it took, and
// who has no credit left gets some of it back for time that passes. That bounds
// what spins in vain cost to a hundredth of a processor, for each Spinner, and lets it
// find out soon when spinning pays off again. What is right for the process as a
// whole, the [governor] decides.
//
// A Spinner is for one goroutine at a time. The zero value never spins.
type Spinner struct {
	Max time.Duration // the longest spin; 0 never spins

	// Peer is the process id of the peer, or 0 if it isn't known. It is asked
	// only when this process has one CPU: if that is also the peer's only
	// one, whoever spins keeps the other from what it waits for.
	Peer int

	// Nap sleeps for a short time where spinning would be in vain because of
	// Peer. Nil doesn't.
	Nap func(limit time.Duration, ready func() bool) bool

	credit account
	shares shares
	gov    *governor // nil is the process's
}

const (
	spinBatch = 16 // polls between two looks at the clock
	spinPause = 4  // hints between two polls

	// spinAlone is how long a spin goes on until it lets others have the CPU
	// between its polls. If the peer was woken on this very CPU, it can't get
	// to run otherwise, as long as the kernel doesn't move it.
	spinAlone = 4 * time.Microsecond
)

// Spin polls ready until it says true, or the time is up. It may decide not to
// poll at all.
func (s *Spinner) Spin(ready func() bool) bool {
	if s.Max == 0 {
		return false
	}
	g := s.gov
	if g == nil {
		g = &process
	}
	start := g.now()
	if !s.credit.has(start) || !g.enter(start) {
		return false
	}
	defer g.leave()
	var ok bool
	switch {
	case !g.single.Load() || !s.shares.cpu(g, s.Peer, start):
		ok = s.poll(g, start, ready)
	case s.Nap != nil:
		// A nap may hold our only processor, and keep whom we wait for from it.
		if s.credit.debt > 0 {
			runtime.Gosched()
		}
		ok = s.Nap(s.Max, ready)
	default:
		return false
	}
	if ok {
		s.credit.won()
	} else {
		now := g.now()
		s.credit.lost(now-start, now)
	}
	return ok
}

func (s *Spinner) poll(g *governor, start time.Duration, ready func() bool) bool {
	for {
		for range spinBatch {
			if ready() {
				return true
			}
			pause(spinPause)
		}
		took := g.now() - start
		if took >= s.Max {
			return false
		}
		if g.alone.Load() {
			runtime.Gosched() // the goroutine that we wait for may need our processor
		}
		if took >= spinAlone {
			yieldCPU()
		}
	}
}

// shares remembers whether the peer shares our only CPU.
type shares struct {
	yes   bool
	until time.Duration
}

// sharesLook is how long the answer is good for.
const sharesLook = time.Second

func (s *shares) cpu(g *governor, pid int, now time.Duration) bool {
	if now >= s.until {
		s.yes = g.probe.sharesCPU(pid)
		s.until = now + sharesLook
	}
	return s.yes
}

// account is the credit of a Spinner. The zero value is a full one.
type account struct {
	debt  time.Duration // what is missing, 0 to creditMost
	empty time.Duration // since when all of it is
}

const (
	// creditMost lasts long enough for the kernel to move one of two busy peers
	// from the CPU that they share to another, which takes it a few ticks.
	creditMost = 20 * time.Millisecond
	// creditWon is about what a sleep and a wake-up cost both sides.
	creditWon = 20 * time.Microsecond
	// creditBack is given back at a time: single trials would prove nothing.
	creditBack = creditMost / 2
	// creditPause is how long an account stays empty.
	creditPause = 100 * creditBack
)

// has tells whether there is credit for a spin.
func (a *account) has(now time.Duration) bool {
	if a.debt < creditMost {
		return true
	}
	if now-a.empty < creditPause {
		return false
	}
	a.debt -= creditBack
	return true
}

func (a *account) won() { a.debt = max(0, a.debt-creditWon) }

func (a *account) lost(took, now time.Duration) {
	a.debt += took
	if a.debt >= creditMost {
		a.debt, a.empty = creditMost, now
	}
}
