package explore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxThreads bounds the threads of a scenario.
const maxThreads = 16

// Schedule is one run of a scenario.
type Schedule struct {
	threads []*thread
	atEnd   []func() error
	trace   []step
	objects map[any]*object
	numbers int // of objects, given so far

	choose func(n int) int
	traced bool
}

// Go adds a thread. All threads are added before the first one runs.
func (s *Schedule) Go(name string, body func()) {
	if len(s.threads) == maxThreads {
		panic("explore: too many threads")
	}
	s.add(name, body)
}

func (s *Schedule) add(name string, body func()) *thread {
	t := newThread(len(s.threads), name, body)
	t.schedule, t.traced = s, s.traced
	s.threads = append(s.threads, t)
	return t
}

// spawn starts a thread in the middle of a step of parent's. It need not end.
func (s *Schedule) spawn(parent *thread, body func()) {
	if len(s.threads) == maxThreads {
		panic("explore: too many threads")
	}
	t := s.add(fmt.Sprintf("%s's %d", parent.name, len(s.threads)), body)
	t.daemon = true
	t.clock = append(clock(nil), parent.clock...)
	t.step()
}

// Daemon adds a thread that need not end: it is stopped when the others have.
func (s *Schedule) Daemon(name string, body func()) {
	s.Go(name, body)
	s.threads[len(s.threads)-1].daemon = true
}

// GoUntil adds a thread that crashes in place of its step number lives, counted from
// zero, as when its process is killed: it takes no more steps, though its deferred
// functions run. What the kernel does then is for after to do.
func (s *Schedule) GoUntil(name string, lives int, body, after func()) {
	var t *thread
	s.Go(name, func() {
		t.lives = lives
		t.mortal(body, after)
	})
	t = s.threads[len(s.threads)-1]
}

// AtEnd adds a check for the end of a run in which all threads ended.
func (s *Schedule) AtEnd(check func() error) { s.atEnd = append(s.atEnd, check) }

// step is one step of a run, as it was taken.
type step struct {
	op
	thread int
	clock  clock
}

// object is what was done to an object so far in a run.
type object struct {
	steps []int // indices into the trace
	reads clock // joined clocks of all steps
	write clock // joined clocks of those that don't read

	number int // in a printed trace
}

func (s *Schedule) object(key any) *object {
	o := s.objects[key]
	if o == nil {
		o = &object{reads: newClock(), write: newClock()}
		s.objects[key] = o
	}
	return o
}

// start brings all threads to their first step.
func (s *Schedule) start() {
	s.objects = map[any]*object{}
	for _, t := range slices.Clone(s.threads) {
		t.clock = newClock()
		t.step()
	}
}

func (s *Schedule) ready() threads {
	var set threads
	for _, t := range s.threads {
		if t.ready() {
			set |= only(t.id)
		}
	}
	return set
}

// clockOf is the clock that t's next step would have now.
func (s *Schedule) clockOf(t *thread) clock {
	c := append(clock(nil), t.clock...)
	s.join(c, touch{t.op.object, t.op.kind})
	for _, more := range t.op.more {
		s.join(c, more)
	}
	c[t.id] = len(s.trace) + 1
	return c
}

// join adds to c what comes before a step that touches an object now.
func (s *Schedule) join(c clock, what touch) {
	if o := s.objects[what.object]; o != nil {
		c.join(o.write)
		if what.kind != Read {
			c.join(o.reads)
		}
	}
}

// take lets a thread take its step, and records it.
func (s *Schedule) take(id int) {
	t := s.threads[id]
	t.settle()
	t.clock = s.clockOf(t)
	s.record(t, touch{t.op.object, t.op.kind})
	for _, more := range t.op.more {
		s.record(t, more)
	}
	s.trace = append(s.trace, step{t.op, id, t.clock})
	t.step()
}

// record adds t's next step to what was done to an object.
func (s *Schedule) record(t *thread, what touch) {
	o := s.object(what.object)
	o.reads.join(t.clock)
	if what.kind != Read {
		o.write.join(t.clock)
	}
	o.steps = append(o.steps, len(s.trace))
}

// ended tells whether all threads that have to end did.
func (s *Schedule) ended() bool {
	for _, t := range s.threads {
		if !t.done && !t.daemon {
			return false
		}
	}
	return true
}

// panicked is the error of a thread that panicked.
func (s *Schedule) panicked() error {
	var errs []error
	for _, t := range s.threads {
		errs = append(errs, t.err)
	}
	return errors.Join(errs...)
}

// verdict is what is wrong with a run in which no thread can go on.
func (s *Schedule) verdict() error {
	if !s.ended() {
		return errors.New(s.stuck())
	}
	var errs []error
	for _, check := range s.atEnd {
		errs = append(errs, check())
	}
	return errors.Join(errs...)
}

func (s *Schedule) stuck() string {
	var names []string
	for _, t := range s.threads {
		if !t.done && !t.daemon {
			names = append(names, fmt.Sprintf("%s, to touch %s", t.name, s.name(t.op.object)))
		}
	}
	return "nobody can go on: " + strings.Join(names, "; ")
}

// stop unwinds all threads.
func (s *Schedule) stop() {
	for _, t := range s.threads {
		t.end()
	}
}

// name is a name for an object: its own, or a number in the order of appearance.
func (s *Schedule) name(object any) string {
	if n, ok := object.(fmt.Stringer); ok {
		return n.String()
	}
	o := s.object(object)
	if o.number == 0 {
		s.numbers++
		o.number = s.numbers
	}
	return fmt.Sprintf("%T #%d", object, o.number)
}

// String is the run step by step.
func (s *Schedule) String() string {
	var b strings.Builder
	for i, st := range s.trace {
		fmt.Fprintf(&b, "%4d %-12s %s %-24s %s\n", i+1, s.threads[st.thread].name, kindNames[st.kind], s.name(st.object), st.where)
	}
	return b.String()
}

var kindNames = [...]string{Read: "read ", Write: "write", Acquire: "lock ", Release: "free "}
