package direct

import (
	"context"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
)

// A worker is a goroutine that reads and runs handlers in line. There is one at a time
// that reads, more only while handlers block, and one is kept for the next time.
type worker struct {
	parked atomic.Bool // one waits for wake
	wake   chan struct{}
}

// callWorker gives the caller's lead to a worker.
func (c *Conn) callWorker() {
	if c.worker.parked.CompareAndSwap(true, false) {
		c.worker.wake <- struct{}{}
		return
	}
	go c.work()
}

// work is a worker. It begins with the lead.
func (c *Conn) work() {
	pprof.SetGoroutineLabels(context.Background()) // those of who called it are not the handlers'
	for c.readAndServe() && c.awaitWork() {
	}
}

// awaitWork waits to be given the lead. It fails if there is a worker already that waits.
func (c *Conn) awaitWork() bool {
	w := &c.worker
	if !w.parked.CompareAndSwap(false, true) {
		return false
	}
	select {
	case <-w.wake:
		return true
	case <-c.done:
		if w.parked.CompareAndSwap(true, false) {
			return false
		}
		<-w.wake // somebody gave us the lead in the same moment
		return true
	}
}

// readAndServe reads, and runs handlers, until there is nothing to read for longer than
// spinning is worth. It returns false if a handler lost it the lead meanwhile.
func (c *Conn) readAndServe() bool {
	l := &c.lead
	l.wake, l.foreign = nil, 0
	var partial partials
	var slow *Method  // run in line just now, and not quick
	handed := false   // a call to another goroutine, since we let that run
	answered := false // a call of ours, and no others have come since
	var slept int64   // c.sleeps before that one was let run
	for !c.ending.Load() {
		n, s := c.poll(pollBatch, true)
		if slow != nil && s != nil {
			slow.pace.crowded()
		}
		slow = nil
		if s == nil && n > 0 {
			s = partial.whole()
		}
		switch {
		case s != nil:
			answered = false
			switch {
			case partial.add(s):
			case !c.mayRunInline(s) || len(partial.streams) > 0:
				c.run(s)
				handed = true
			default:
				leads, late := c.runInline(s)
				if !leads {
					return false
				}
				if late {
					slow = s.method
				}
			}
		case n > 0:
			partial.tire(c)
			calling, before := c.brief.Load() > 0, c.sleeps.Load()
			if l.letRun() && calling {
				answered, slept = true, before
			}
		case handed:
			// Spinning would keep the processor from what it waits for: where the
			// peer spins too, there may be no other.
			handed = false
			runtime.Gosched()
		case answered && len(partial.streams) == 0 && c.brief.Load() == 0 && c.sleeps.Load() == slept:
			// Who was answered reads for itself when it calls again, without us between:
			// if it waits already, it could not.
			answered = false
			if l.drop() {
				return true
			}
		case c.spinLead():
		default:
			partial.run(c)
			if l.drop() {
				return true
			}
		}
	}
	partial.run(c)
	l.state.Store(leadFree) // for bury
	return true
}

// letRun lets those run whom the last frames woke, before the holder of the lead looks for more:
// often they write at once. It tells whether there are any.
func (l *reading) letRun() bool {
	if l.foreign == 0 {
		return false
	}
	l.foreign = 0
	runtime.Gosched()
	return true
}

// mayRunInline tells whether the call can be run on the goroutine that reads.
func (c *Conn) mayRunInline(s *Stream) bool {
	m := s.method
	if !m.Unary || m.Goroutine || !s.complete() {
		return false
	}
	more, err := c.lead.rx.Len(1)
	return err == nil && m.pace.quick(more > 0, c.handlers.Load() == 1)
}

// partials are the unary calls of a worker whose message is still coming in. A worker can run
// them in line when it is there. They wait only while the worker has the lead and
// something to read; before it sleeps or runs anything, they get goroutines of their own.
type partials struct {
	streams []*Stream
	looks   int // since one of them came or was complete
}

const (
	maxPartials  = 16
	maxLookAfter = 256 // looks; the worker may be kept busy by others
)

// add takes a call that is worth waiting for.
func (p *partials) add(s *Stream) bool {
	m := s.method
	if !m.Unary || m.Goroutine || len(p.streams) >= maxPartials || s.settled() || !m.pace.quick(false, s.c.handlers.Load() == 1) {
		return false
	}
	p.streams, p.looks = append(p.streams, s), 0
	return true
}

// tire counts looks in vain, and gives up after many.
func (p *partials) tire(c *Conn) {
	if p.looks++; p.looks > maxLookAfter {
		p.run(c)
	}
}

// whole takes out a call whose message has come, or never will. It is nil if there is none.
func (p *partials) whole() *Stream {
	for i, s := range p.streams {
		if s.settled() {
			p.streams, p.looks = slices.Delete(p.streams, i, i+1), 0
			return s
		}
	}
	return nil
}

// run gives all of them goroutines.
func (p *partials) run(c *Conn) {
	for _, s := range p.streams {
		c.run(s)
	}
	p.streams = p.streams[:0]
}

// settled tells whether nothing more is to be waited for before the call is served.
func (s *Stream) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is(haveEnd) || s.err != nil || s.inbox.err != nil
}

// complete tells whether all that the peer sends has come.
func (s *Stream) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is(haveEnd)
}
