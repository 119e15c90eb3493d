package shmconn

import (
	"sync"
	"sync/atomic"
	"time"
)

// deadline is the deadline of one direction of a connection. The zero value is
// not ready; see init.
type deadline struct {
	expired atomic.Bool // for those who don't wait

	mu    sync.Mutex
	timer *time.Timer
	set   int           // counts calls of Set, so that a late timer knows that it is
	past  chan struct{} // closed when the deadline passes
}

func (d *deadline) init() { d.past = make(chan struct{}) }

// Set moves the deadline; the zero time is none. Whoever waits on the channel
// that Passed gave is woken when the deadline passes, also by a later Set.
func (d *deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.expired.Load() {
		d.expired.Store(false)
		d.past = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		set := d.set
		d.timer = time.AfterFunc(left, func() { d.expire(set) })
		return
	}
	d.expireLocked()
}

// Passed is a channel that is closed when the deadline passes.
func (d *deadline) Passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.past
}

func (d *deadline) expire(set int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == set {
		d.expireLocked()
	}
}

func (d *deadline) expireLocked() {
	d.expired.Store(true)
	close(d.past)
}
