package direct

import (
	"sync/atomic"
	"time"
)

// pace is how quick a method has been lately. Running a call in line spares two switches
// of goroutines, but keeps whoever reads from reading; so it is for the quick ones, and for
// those that take a little longer while there is one call at a time.
//
// What is measured is time on the clock, and anybody can be preempted: so it takes a share
// of slow calls, not one of them, to make a method slow.
type pace struct {
	slow score
	long score
	seen atomic.Int32 // calls, counted up to knownAfter
}

const (
	slowCall     = 20 * time.Microsecond  // costs more than the switches
	longCall     = 500 * time.Microsecond // is not to be waited for
	verySlowCall = time.Millisecond

	knownAfter = 4
)

// took is told how long a call took.
func (p *pace) took(d time.Duration) {
	if p.seen.Load() < knownAfter {
		p.seen.Add(1)
	}
	p.slow.note(d, slowCall)
	p.long.note(d, longCall)
}

// blocked is told that a call keeps others waiting.
func (p *pace) blocked() { p.took(verySlowCall) }

// crowded is told that a request waited for a call that was run in line and was not quick.
func (p *pace) crowded() { p.long.note(verySlowCall, longCall) }

// quick tells whether a call should be run in line. With more requests waiting behind it, a
// method must be known. alone says that no other call is under way.
func (p *pace) quick(more, alone bool) bool {
	if more && p.seen.Load() < knownAfter {
		return false
	}
	return !p.slow.high() || alone && !more && !p.long.high()
}

// score counts the share of calls that took longer than they should. It is a
// hint: counts may get lost.
type score struct{ n atomic.Int32 }

const (
	overWeight     = 4 // a method has a high score when every fifth call is over
	verySlowWeight = 16
	highScore      = 32
	maxScore       = 2 * highScore
)

func (s *score) note(took, most time.Duration) {
	switch n := s.n.Load(); {
	case took >= verySlowCall:
		s.n.Store(min(maxScore, n+verySlowWeight))
	case took >= most:
		s.n.Store(min(maxScore, n+overWeight))
	case n > 0:
		s.n.Store(n - 1)
	}
}

func (s *score) high() bool { return s.n.Load() > highScore }
