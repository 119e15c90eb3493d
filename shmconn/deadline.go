package shmconn

import (
	"sync"
	"sync/atomic"
	"time"
)

// deadline is the deadline of one direction of a connection. It allocates once, however
// often it is moved. The zero value is none, but needs expired to be set.
type deadline struct {
	past    atomic.Bool
	expired func() // called when the deadline has passed

	mu    sync.Mutex
	at    time.Time
	timer *time.Timer
}

// Set moves the deadline; the zero time is none.
func (d *deadline) Set(t time.Time) {
	d.mu.Lock()
	d.at = t
	left := time.Until(t)
	over := !t.IsZero() && left <= 0
	d.past.Store(over)
	switch {
	case t.IsZero() || over:
		if d.timer != nil {
			d.timer.Stop()
		}
	case d.timer == nil:
		d.timer = time.AfterFunc(left, d.fire)
	default:
		d.timer.Reset(left)
	}
	d.mu.Unlock()
	if over {
		d.expired()
	}
}

// fire is called by the timer, which may be late or, where the clock was set back, early.
func (d *deadline) fire() {
	d.mu.Lock()
	left := time.Until(d.at)
	pending := !d.at.IsZero()
	switch {
	case pending && left > 0:
		d.timer.Reset(left)
	case pending:
		d.past.Store(true)
	}
	d.mu.Unlock()
	if pending && left <= 0 {
		d.expired()
	}
}

// stop lets go of the timer.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = time.Time{}
	if d.timer != nil {
		d.timer.Stop()
	}
}
