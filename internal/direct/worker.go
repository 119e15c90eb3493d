package direct

import (
	"context"
	"runtime/pprof"
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
	for !c.ending.Load() {
		n, s := c.poll(pollBatch, true)
		switch {
		case s != nil:
			if !c.mayRunInline(s) {
				c.run(s)
			} else if !c.runInline(s) {
				return false
			}
		case n > 0 || c.spinLead():
		case l.drop():
			return true
		}
	}
	l.state.Store(leadFree) // for bury
	return true
}

// mayRunInline tells whether the call can be run on the goroutine that reads.
func (c *Conn) mayRunInline(s *Stream) bool {
	m := s.method
	if !m.Unary || m.Goroutine || !s.complete() {
		return false
	}
	more, err := c.lead.rx.Len(1)
	return err == nil && m.pace.quick(more > 0)
}

// complete tells whether all that the peer sends has come.
func (s *Stream) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is(haveEnd)
}
