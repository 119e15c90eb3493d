package direct

import (
	"sync/atomic"
	"time"
)

// pace is how quick a method has been lately. Running a call in line spares two switches
// of goroutines, but keeps whoever reads from reading; so it is for the quick ones.
//
// What is measured is time on the clock, and anybody can be preempted: so it takes a share
// of slow calls, not one of them, to make a method slow.
type pace struct {
	score atomic.Int32
	seen  atomic.Int32 // calls, counted up to knownAfter
}

const (
	slowCall     = 20 * time.Microsecond // costs more than the switches
	verySlowCall = time.Millisecond

	slowWeight     = 4 // a method is slow when every fifth call is
	verySlowWeight = 16
	slowScore      = 32
	maxScore       = 2 * slowScore
	knownAfter     = 4
)

// took is told how long a call took.
func (p *pace) took(d time.Duration) {
	if p.seen.Load() < knownAfter {
		p.seen.Add(1)
	}
	switch score := p.score.Load(); {
	case d >= verySlowCall:
		p.score.Store(min(maxScore, score+verySlowWeight))
	case d >= slowCall:
		p.score.Store(min(maxScore, score+slowWeight))
	case score > 0:
		p.score.Store(score - 1)
	}
}

// blocked is told that a call keeps others waiting.
func (p *pace) blocked() { p.took(verySlowCall) }

// quick tells whether a call should be run in line. With more requests waiting behind it, a
// method must be known.
func (p *pace) quick(more bool) bool {
	return p.score.Load() <= slowScore && (!more || p.seen.Load() >= knownAfter)
}
