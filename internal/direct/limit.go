package direct

import (
	"context"
	"slices"
)

// LimitStreams says how many streams this end may have open at a time of those that it
// opens: what the peer asked for. More wait in Open, first come first served.
func (c *Conn) LimitStreams(n int) {
	t := &c.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit = min(n, MaxStreams)
	t.admitLocked()
}

// Retire makes Open fail with [ErrGoAway] from here on, if no stream is open that this end
// opened, and none about to be. It tells whether that is so.
func (c *Conn) Retire() bool {
	t := &c.out
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open > 0 || len(t.waiting) > 0 {
		return false
	}
	t.shut = true
	return true
}

// entry is a stream that waits for a number.
type entry struct {
	s     *Stream
	ready chan struct{} // closed when it has one, or never will
	err   error         // why not
}

// enter gives s a number, and waits for one within ctx if as many streams are open as may be.
func (c *Conn) enter(ctx context.Context, s *Stream) error {
	e, err := c.out.add(s)
	if e == nil {
		return err
	}
	select {
	case <-e.ready:
		return e.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.done:
		err = c.reason
	}
	if !c.out.leave(e) && e.err == nil {
		c.out.remove(s) // it got its number in the same moment
	}
	return err
}

// leave takes e off the queue. It tells whether it was there.
func (t *table) leave(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, e)
	if i < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return true
}

// admitLocked gives numbers to those who wait, as far as there are some.
func (t *table) admitLocked() {
	for len(t.waiting) > 0 && t.placeLocked(t.waiting[0].s) {
		close(t.waiting[0].ready)
		t.waiting = t.waiting[1:]
	}
}

// turnAway fails those who wait: the peer wants no further streams.
func (t *table) turnAway() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	for _, e := range t.waiting {
		e.err = ErrGoAway
		close(e.ready)
	}
	t.waiting = nil
}
