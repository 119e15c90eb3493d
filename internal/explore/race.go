package explore

import (
	"math/bits"
	"slices"
)

// reverse makes later runs take t's next step before each earlier step of another thread
// with which it could change places.
func (e *explorer) reverse(s *Schedule, t *thread) {
	for _, at := range s.rivals(t) {
		e.reverseAt(s, t, at)
	}
}

// reverseBlocked is reverse for the threads that wait at the end of a run: had they come
// first, they might not.
func (e *explorer) reverseBlocked(s *Schedule) {
	for _, t := range s.threads {
		if !t.done && !t.op.ready() {
			e.reverse(s, t)
		}
	}
}

// rivals are the steps of other threads that t's next step depends on, and that nothing
// else puts before it: not what t did so far, and not a step in between.
func (s *Schedule) rivals(t *thread) []int {
	if t.op.more == nil {
		return s.rivalsAt(t, t.op.object)
	}
	var found []int
	for _, what := range t.op.touches() {
		found = append(found, s.rivalsAt(t, what.object)...)
	}
	return found
}

// rivalsAt is rivals for one of the objects that t's next step touches.
func (s *Schedule) rivalsAt(t *thread, object any) []int {
	o := s.objects[object]
	if o == nil {
		return nil
	}
	var found []int
	between := newClock() // of the rivals found
	for _, at := range slices.Backward(o.steps) {
		other := &s.trace[at]
		if other.thread == t.id || t.clock[other.thread] > at {
			if other.kindOn(object) != Read {
				break // it comes after all before it
			}
			continue
		}
		if t.op.kindOn(object) == Read && other.kindOn(object) == Read || !t.op.swaps(other.op) {
			continue
		}
		// A step that has to wait may have been impossible in between: then
		// only an earlier step is one to change places with.
		if t.op.enabled == nil && between[other.thread] > at {
			continue
		}
		found = append(found, at)
		between.join(other.clock)
	}
	return found
}

// reverseAt makes a later run take t's next step before step at. What has to come before
// t's step, and doesn't need step at, comes before it then too.
func (e *explorer) reverseAt(s *Schedule, t *thread, at int) {
	n := &e.nodes[at]
	first := s.initials(t, at)
	if first&n.todo != 0 {
		return // one of them is tried anyway, and leads there
	}
	switch first &= n.ready; {
	case first == 0: // t's step needs step at
	case first.has(t.id):
		n.todo |= only(t.id)
	default:
		n.todo |= only(bits.TrailingZeros64(uint64(first)))
	}
}

// initials are the threads that can begin the sequence of all steps after step at that
// don't need it, and of t's next one.
func (s *Schedule) initials(t *thread, at int) threads {
	var set, seen threads
	first := make([]int, len(s.threads)) // of each thread seen: its first step in the sequence
	visit := func(id, index int, c clock) {
		if seen.has(id) {
			return
		}
		needs := false
		for other := range s.threads {
			needs = needs || seen.has(other) && c[other] > first[other]
		}
		seen |= only(id)
		first[id] = index
		if !needs {
			set |= only(id)
		}
	}
	avoided := s.trace[at].thread
	for i := at + 1; i < len(s.trace); i++ {
		if st := &s.trace[i]; st.clock[avoided] <= at {
			visit(st.thread, i, st.clock)
		}
	}
	visit(t.id, len(s.trace), s.clockOf(t))
	return set
}
