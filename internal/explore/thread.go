package explore

import (
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// current is the thread that is running now, or nil outside an exploration. Only
// one thread runs at a time, so it needs no lock.
var current *thread

// Touch is where a thread waits until it is its turn to take its next step, which is to
// touch object, a pointer. The step itself follows the call. Outside an
// exploration Touch does nothing, and tells so.
func Touch(object any, kind Kind) (explored bool) {
	return When(object, kind, nil)
}

// When is [Touch] for a step that is possible only when enabled says so. enabled must
// depend on object only, and must touch nothing.
func When(object any, kind Kind, enabled func() bool) (explored bool) {
	t := current
	if t == nil {
		return false
	}
	t.pauseAt(op{object: object, kind: kind, enabled: enabled})
	return true
}

// TouchUnless is [Touch] for a write that changes nothing when silent says so: then it is a read.
// silent must depend on object only.
func TouchUnless(object any, silent func() bool) (explored bool) {
	t := current
	if t == nil {
		return false
	}
	t.pauseAt(op{object: object, kind: Write, silent: silent})
	return true
}

// settle decides what t's next step is, as it is about to be taken.
func (t *thread) settle() {
	if t.op.silent != nil && t.op.silent() {
		t.op.kind = Read
	}
}

// pauseAt is pause for a step of the code that called this package.
func (t *thread) pauseAt(o op) {
	if t.traced {
		o.where = caller()
	}
	t.pause(o)
}

// Aborted tells whether the current thread is being unwound because its run is over. It
// must not wait for anything then.
func Aborted() bool { return current != nil && current.aborted }

// thread is one thread of control of a run: a coroutine.
type thread struct {
	id       int
	name     string
	schedule *Schedule

	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	op      op
	daemon  bool // doesn't have to end
	done    bool
	aborted bool  // being unwound
	err     error // of a panic
	clock   clock // of its latest step

	traced bool // its steps say where they are
	lives  int  // steps until it crashes; negative is never
}

// What unwinds a thread.
type (
	abort struct{} // its run is over
	crash struct{} // it reached its last step
	quit  struct{} // Goexit
)

// Go starts a thread, or a goroutine outside an exploration. The thread need not end.
func Go(body func()) {
	t := current
	if t == nil {
		go body()
		return
	}
	Touch(&t.schedule.threads, Write) // threads are numbered
	if !t.aborted {
		t.schedule.spawn(t, body)
	}
}

// Goexit is [runtime.Goexit] for a thread.
func Goexit() { panic(quit{}) }

// Choose is for what happens by chance: it gives a number below n, and a later run gets
// another, until there was each. It belongs to the step that was taken last.
func Choose(n int) int {
	if n == 1 || Aborted() {
		return 0
	}
	return current.schedule.choose(n)
}

// caller is the place in the explored code that is about to take a step.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		ours := strings.Contains(f.Function, "/internal/explore.") || strings.Contains(f.Function, "/internal/explore/")
		if !ours || !more {
			return fmt.Sprintf("%s:%d %s", filepath.Base(f.File), f.Line, f.Function[strings.LastIndex(f.Function, "/")+1:])
		}
	}
}

func newThread(id int, name string, body func()) *thread {
	t := &thread{id: id, name: name, lives: -1}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			t.done = true
			t.caught(recover())
		}()
		body()
	})
	return t
}

func (t *thread) caught(p any) {
	switch p.(type) {
	case nil, abort, quit:
		return
	}
	t.err = fmt.Errorf("%s panicked: %v\n%s", t.name, p, debug.Stack())
}

// pause ends a step: it gives control back until the next one is to be taken.
func (t *thread) pause(o op) {
	if t.aborted {
		return // deferred functions run to their end
	}
	if t.lives == 0 {
		t.aborted = true
		panic(crash{})
	}
	t.lives--
	t.op = o
	if !t.yield(struct{}{}) {
		t.aborted = true
		panic(abort{})
	}
}

// mortal runs body, and after if it crashes.
func (t *thread) mortal(body, after func()) {
	defer func() {
		p := recover()
		if _, crashed := p.(crash); !crashed {
			if p != nil {
				panic(p)
			}
			return
		}
		t.aborted = false
		t.lives = -1
		after()
	}()
	body()
}

// step takes the thread's pending step and goes on to its next.
func (t *thread) step() {
	before := current // of a thread that starts t
	current = t
	t.next()
	current = before
}

// end unwinds a thread.
func (t *thread) end() {
	current = t
	t.stop()
	current = nil
	t.done = true
}

func (t *thread) ready() bool { return !t.done && t.op.ready() }
