package direct

import (
	"sync"
	"time"
)

// watchdog takes the lead from goroutines that run a handler in line and don't come back.
// Anybody of this process who waits for the connection takes it at once; the watchdog
// is for peers that wait while nobody here does. It runs only while handlers do.
var watchdog dog

type dog struct {
	mu    sync.Mutex
	conns map[*Conn]*watched
}

type watched struct {
	lent uint32 // at the last look
	idle int    // looks without a handler in line
}

const (
	watchEvery = time.Millisecond
	watchIdle  = 50 // looks
)

// watch looks after c until it has run no handler in line for a while.
func (d *dog) watch(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.lead.watched.Swap(true) {
		return
	}
	if d.conns == nil {
		d.conns = map[*Conn]*watched{}
		go d.run()
	}
	d.conns[c] = &watched{lent: c.lead.lent.Load()}
}

func (d *dog) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for range tick.C {
		if !d.look() {
			return
		}
	}
}

// look looks once at each connection. It tells whether any are left.
func (d *dog) look() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, w := range d.conns {
		if !w.look(c) {
			delete(d.conns, c)
		}
	}
	if len(d.conns) == 0 {
		d.conns = nil
		return false
	}
	return true
}

// look tells whether c is to be watched on.
func (w *watched) look(c *Conn) bool {
	lent := c.lead.lent.Load()
	if lent != w.lent {
		w.lent, w.idle = lent, 0
		return true
	}
	if c.lead.state.CompareAndSwap(leadBusy, leadHeld) {
		// The same handler as at the last look, or one that has just begun and
		// will lose little.
		if m := c.lead.running.Load(); m != nil {
			m.pace.blocked()
		}
		c.callWorker()
		return true
	}
	if w.idle++; w.idle < watchIdle {
		return true
	}
	c.lead.watched.Store(false)
	if c.lead.lent.Load() != lent { // lend looks at watched after it counts
		c.lead.watched.Store(true)
		return true
	}
	return false
}
