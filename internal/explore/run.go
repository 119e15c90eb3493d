package explore

import (
	"fmt"
	"math/bits"
)

// Options bound an exploration.
type Options struct {
	// MaxRuns is after how many runs to give up. Zero is a million.
	MaxRuns int
	// MaxSteps is how many steps a run may have; one that has more is taken for one
	// that never ends. Zero is 10,000.
	MaxSteps int

	// every turns the reduction off: each order is run. It is there to test the
	// reduction.
	every bool
}

// Result is the outcome of an exploration.
type Result struct {
	Runs     int  // until the end, or the first failure
	Complete bool // no order was left out
	Steps    int  // of the longest run

	// Err says what went wrong, or is nil. Trace is the run in which it did.
	Err   error
	Trace string
}

// node is a state of the current run: what could be done, and what of it was tried.
type node struct {
	ready threads
	ops   []op    // of each thread, to compare with
	todo  threads // to be tried, and what was
	tried threads
	sleep threads // need not be tried: an earlier run did what would follow
	pick  int
	luck  []luck // of the thread picked
}

// luck is a number that Choose gave.
type luck struct{ got, of int }

// explorer walks depth first through the orders.
type explorer struct {
	opt   Options
	body  func(*Schedule)
	nodes []node

	depth  int // of the step that is taken
	chosen int // numbers that it got
}

// choose is Choose for the step that is taken.
func (e *explorer) choose(n int) int {
	at := &e.nodes[e.depth]
	if e.chosen == len(at.luck) {
		at.luck = append(at.luck, luck{of: n})
	}
	e.chosen++
	return at.luck[e.chosen-1].got
}

// Run explores a scenario. The scenario is set up by body, which is called for each run.
func Run(opt Options, body func(*Schedule)) Result {
	if opt.MaxRuns == 0 {
		opt.MaxRuns = 1_000_000
	}
	if opt.MaxSteps == 0 {
		opt.MaxSteps = 10_000
	}
	e := explorer{opt: opt, body: body}
	var r Result
	for r.Runs < opt.MaxRuns {
		r.Runs++
		s, err := e.run(false)
		r.Steps = max(r.Steps, len(s.trace))
		if err != nil {
			s, _ = e.run(true)
			r.Err, r.Trace = err, s.String()
			return r
		}
		if !e.back() {
			r.Complete = true
			return r
		}
	}
	return r
}

// run repeats the picks of the nodes and goes on from there, adding nodes, to the end.
func (e *explorer) run(traced bool) (*Schedule, error) {
	s := &Schedule{choose: e.choose, traced: traced}
	e.body(s)
	defer s.stop()
	s.start()
	known := len(e.nodes)
	for depth := 0; ; depth++ {
		if err := s.panicked(); err != nil {
			return s, err
		}
		if depth > e.opt.MaxSteps {
			return s, endless(depth)
		}
		if depth == len(e.nodes) {
			ready := s.ready()
			if s.ended() || ready == 0 {
				e.reverseBlocked(s)
				return s, s.verdict()
			}
			if !e.grow(s, ready) {
				e.reverseBlocked(s)
				return s, nil // what follows was seen in an earlier run
			}
		}
		pick := e.nodes[depth].pick
		s.threads[pick].settle()
		e.nodes[depth].ops[pick].kind = s.threads[pick].op.kind
		if depth >= known-1 { // before, it was done in an earlier run
			e.reverse(s, s.threads[pick])
		}
		e.depth, e.chosen = depth, 0
		s.take(pick)
	}
}

func endless(steps int) error { return fmt.Errorf("no end after %d steps", steps) }

// grow adds a node for the present state. It fails if all that is possible sleeps.
func (e *explorer) grow(s *Schedule, ready threads) bool {
	n := node{ready: ready, ops: make([]op, len(s.threads))}
	for i, t := range s.threads {
		n.ops[i] = t.op
	}
	last := -1
	if len(e.nodes) > 0 {
		parent := &e.nodes[len(e.nodes)-1]
		last = parent.pick
		for id := range s.threads {
			asleep := parent.sleep | parent.tried
			if asleep.has(id) && id != last && !parent.ops[id].depends(parent.ops[last]) {
				n.sleep |= only(id)
			}
		}
	}
	awake := ready &^ n.sleep
	if awake == 0 {
		return false
	}
	// The same thread as before makes for traces that can be read.
	n.pick = bits.TrailingZeros64(uint64(awake))
	if last >= 0 && awake.has(last) {
		n.pick = last
	}
	n.todo |= only(n.pick)
	if e.opt.every {
		n.todo, n.sleep = ready, 0
	}
	e.nodes = append(e.nodes, n)
	return true
}

// back goes back to the last state from which there is something else to try. It fails
// if there is none.
func (e *explorer) back() bool {
	for len(e.nodes) > 0 {
		n := &e.nodes[len(e.nodes)-1]
		for len(n.luck) > 0 {
			last := &n.luck[len(n.luck)-1]
			if last.got++; last.got < last.of {
				return true
			}
			n.luck = n.luck[:len(n.luck)-1]
		}
		n.tried |= only(n.pick)
		if left := n.todo &^ n.tried &^ n.sleep; left != 0 {
			n.pick = bits.TrailingZeros64(uint64(left))
			return true
		}
		e.nodes = e.nodes[:len(e.nodes)-1]
	}
	return false
}
