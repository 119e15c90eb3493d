package direct

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// reading is the right to read, the lead, and what belongs to its holder.
//
// Exactly one party reads at any time, or nobody does and the peer knows that it has to
// ring. The state word says which:
//
//	free      nobody reads. The ring was empty after our sleep was announced, so
//	          the peer rings when it writes.
//	held      somebody polls the ring, or is about to.
//	notified  the same, and the doorbell rang meanwhile: the holder looks once more
//	          before it leaves.
//	busy      the holder runs a handler in between. Whoever wants to read takes
//	          the lead from it; nobody has to ring. The watchdog takes it if
//	          nobody does.
//
//	free ──take, claim──▶ held ──drop──▶ free
//	held ──claim──▶ notified ──drop fails──▶ held
//	held ──lend──▶ busy ──regain──▶ held
//	busy ──take, claim──▶ held (regain then fails)
type reading struct {
	state atomic.Int32

	// The rest belongs to the holder, but for a holder that is busy.
	rx        *shm.Consumer
	spin      shm.Spinner
	some      func() bool   // for spin: the ring is not empty
	wake      chan struct{} // for whom the holder reads; nil is for nobody in particular
	hit       bool          // something was delivered to wake
	foreign   int           // wake-ups of others, since the holder came
	contended int           // leads to come in which spinning is left out

	// For the watchdog.
	lent    atomic.Uint32 // counts handlers run in line
	running atomic.Pointer[Method]
	watched atomic.Bool
}

const (
	leadFree int32 = iota
	leadHeld
	leadNotified
	leadBusy
)

// pollBatch is how many frames are read between two looks at anything else.
const pollBatch = 64

// contendedLeads is for how many leads nobody spins after somebody else's frames came in
// one: where several goroutines wait, the spinner takes the processor from the
// others, and the same one wins again and again.
const contendedLeads = 16

func (l *reading) init(rx *shm.Consumer, spin time.Duration) {
	l.rx = rx
	l.spin.Max = spin
	l.some = func() bool {
		n, err := l.rx.Len(1)
		return n > 0 || err != nil || l.state.Load() == leadNotified
	}
}

// take takes the lead if nobody reads.
func (l *reading) take() bool {
	if l.state.CompareAndSwap(leadFree, leadHeld) {
		l.rx.Retract()
		return true
	}
	return l.state.CompareAndSwap(leadBusy, leadHeld)
}

// claim takes the lead if nobody reads, and otherwise makes its holder look at the
// ring once more.
func (l *reading) claim() bool {
	for {
		switch l.state.Load() {
		case leadNotified:
			return false
		case leadHeld:
			if l.state.CompareAndSwap(leadHeld, leadNotified) {
				return false
			}
		default:
			if l.take() {
				return true
			}
		}
	}
}

// drop gives the lead up, after making sure that the peer will ring. It fails if there
// is something to read, or the doorbell rang: the lead is still the caller's.
func (l *reading) drop() bool {
	l.rx.Announce()
	n, err := l.rx.Len(1)
	if n == 0 && err == nil && l.state.CompareAndSwap(leadHeld, leadFree) {
		return true
	}
	l.state.Store(leadHeld) // of notified: the look is about to be
	l.rx.Retract()
	return false
}

// lend lets others take the lead while the holder runs a handler of m.
func (c *Conn) lend(m *Method) {
	l := &c.lead
	l.running.Store(m)
	l.lent.Add(1)
	// A notification can be forgotten: regain is followed by a look.
	l.state.Store(leadBusy)
	if !l.watched.Load() {
		watchdog.watch(c)
	}
}

// regain ends lend. It fails if the lead was taken.
func (l *reading) regain() bool { return l.state.CompareAndSwap(leadBusy, leadHeld) }

// leadFor reads until something is delivered to wake. It gives up, and says so, when there
// is nothing to read for longer than spinning is worth, or ctx ends. The lead is
// still the caller's then.
func (c *Conn) leadFor(ctx context.Context, wake chan struct{}) bool {
	l := &c.lead
	select {
	case <-wake: // delivered before we came
		return true
	default:
	}
	l.wake, l.hit, l.foreign = wake, false, 0
	defer func() { l.wake = nil }()
	for !c.ending.Load() {
		n, _ := c.poll(pollBatch, false)
		switch {
		case l.hit || len(wake) > 0: // who ends a stream uses its channel
			return true
		case n > 0:
			if ctx.Err() != nil {
				return false
			}
		case !c.spinLead():
			return false
		}
	}
	return false
}

// spinLead waits for a frame for as long as spinning is worth it.
func (c *Conn) spinLead() bool {
	l := &c.lead
	if l.foreign > 0 {
		l.foreign = 0
		l.contended = contendedLeads
		return false
	}
	if l.contended > 0 {
		l.contended--
		return false
	}
	if !l.spin.Spin(l.some) {
		return false
	}
	// Notified with nothing to read: somebody else wants the lead, or room was made.
	n, err := l.rx.Len(1)
	return n > 0 || err != nil
}

// quitLead gives the lead up. What came meanwhile is read first; if more and more comes,
// that is left to the connection's worker.
func (c *Conn) quitLead() {
	const most = 4 // looks; a caller has its own reply to attend to
	for range most {
		if c.lead.drop() {
			return
		}
		c.poll(pollBatch, false)
		if c.ending.Load() {
			c.lead.state.Store(leadFree) // for bury
			return
		}
	}
	c.callWorker()
}

// seizeLead takes the lead for good, waiting for its holder to leave. Holders do so soon:
// who spins does so for a moment, and the one who runs a handler lends it.
func (c *Conn) seizeLead() {
	for !c.lead.claim() {
		time.Sleep(20 * time.Microsecond)
	}
}

// drain reads what there is. The caller holds the lead.
func (c *Conn) drain() error {
	for {
		n, _ := c.poll(pollBatch, false)
		if c.ending.Load() {
			<-c.done // Close may be about to say why
			return c.reason
		}
		if n == 0 {
			return nil
		}
	}
}

// read reads what there is, on the goroutine that waits on the doorbell. It leaves the
// running of handlers to a worker.
func (c *Conn) read() {
	if c.opt.Handler != nil {
		c.callWorker()
		return
	}
	c.lead.wake = nil
	for c.pollAndYield() {
	}
	c.quitLead()
}

// pollAndYield reads what there is and lets those run whom that woke: often they
// write at once and the answers are there before sleeping would have been worth it.
func (c *Conn) pollAndYield() bool {
	n, _ := c.poll(pollBatch, false)
	if n == 0 || c.ending.Load() {
		return false
	}
	runtime.Gosched()
	return true
}

// shared tells the holder that others' frames come in as well, lately.
func (l *reading) shared() bool { return l.foreign > 0 || l.contended > 0 }
