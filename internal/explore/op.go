package explore

// Kind is what a step does to its object.
type Kind uint8

// The kinds of steps.
const (
	Read    Kind = iota // reads commute
	Write               // changes the object, or might
	Acquire             // takes a lock
	Release             // gives a lock back; can't be next where Acquire is
)

// op is the step that a thread will take next.
type op struct {
	object  any         // a pointer: what is touched
	kind    Kind        // of touching it
	more    []touch     // and what else, by a step that waits for one of several
	enabled func() bool // nil is always
	silent  func() bool // it would change nothing now, so it reads; nil is never
	where   string      // file and line, in a run that is to be printed
}

// touch is one of several objects that a step touches.
type touch struct {
	object any
	kind   Kind
}

func (o op) ready() bool { return o.enabled == nil || o.enabled() }

// depends tells whether the order of two steps can make a difference.
func (o op) depends(other op) bool {
	if o.more == nil && other.more == nil {
		return o.object == other.object && (o.kind != Read || other.kind != Read)
	}
	for _, a := range o.touches() {
		for _, b := range other.touches() {
			if a.object == b.object && (a.kind != Read || b.kind != Read) {
				return true
			}
		}
	}
	return false
}

func (o op) touches() []touch { return append([]touch{{o.object, o.kind}}, o.more...) }

// kindOn is what a step does to one of the objects that it touches.
func (o op) kindOn(object any) Kind {
	for _, what := range o.more {
		if what.object == object {
			return what.kind
		}
	}
	return o.kind
}

// swaps tells whether two steps that depend on each other could both be next. One thread
// has the lock that it gives back, so no other can take it or give it back then.
func (o op) swaps(other op) bool {
	locks := o.kind >= Acquire && other.kind >= Acquire
	return o.depends(other) && !(locks && (o.kind == Release || other.kind == Release))
}

// threads is a set of threads, by id.
type threads uint64

func only(id int) threads { return 1 << id }

func (s threads) has(id int) bool { return s&only(id) != 0 }

// clock is a vector clock: for each thread the number of its latest step that is known
// to come before, counted over all threads from 1.
type clock []int

func newClock() clock { return make(clock, maxThreads) }

func (c clock) join(other clock) {
	for i, n := range other {
		c[i] = max(c[i], n)
	}
}
