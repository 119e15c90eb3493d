package direct

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// Link is what a connection runs on: two rings and a doorbell. [shm.Session] is one.
type Link interface {
	TX() *shm.Producer
	RX() *shm.Consumer
	Acquire() bool // keeps the rings' memory until Release
	Release()
	Ring()              // wakes the peer's Await
	Await(woken func()) // calls woken after each wake-up, until the link ends
	Close()
}

// Options say how a connection behaves. The zero value is a connection that only
// calls, and never spins.
type Options struct {
	// Spin is how long this end spins at most before it sleeps.
	Spin time.Duration

	// Handler serves the peer's calls. Nil refuses them.
	Handler Handler

	// MaxHandlers bounds the peer's calls that are being served, those that
	// were cancelled and whose handlers still run included. More are refused.
	// Zero is MaxStreams.
	MaxHandlers int

	// OnGoAway is called, on a goroutine of the connection, when the peer asks
	// that no further calls be made. It must not block. It may be nil.
	OnGoAway func()
}

var (
	// ErrClosed is the reason of a connection that was closed by this end.
	ErrClosed = errors.New("connection closed")

	// ErrPeerGone is wrapped by the reason of a connection whose peer is gone. If that
	// wraps [ErrRefused] too, nobody has looked at the requests that were open.
	ErrPeerGone = errors.New("the peer is gone")
)

// Conn is one connection. Both ends may open streams on it. Its methods may be called
// from many goroutines at once.
type Conn struct {
	link Link
	opt  Options

	lead reading
	w    writing
	out  table // streams that this end opened
	in   table // streams that the peer opened
	pool pool  // what streams may be granted beyond their first window

	handlers atomic.Int32 // running
	admitted atomic.Int32 // of them, those that have more to do than to send their answer
	blocks   atomic.Int64 // bytes of unfinished blocks
	worker   worker
	waiting  atomic.Int32 // goroutines that sleep until something is delivered to them
	sleeps   atomic.Int64 // how often one of them began to
	brief    atomic.Int32 // of these, those who will not have to for long: callers, and senders
	runners  chan *Stream // to goroutines that have nothing to do
	idle     atomic.Int32 // of these
	draining atomic.Bool  // we told the peer that we want no further calls

	goAway     atomic.Bool // the peer wants no further calls
	lastGoAway atomic.Bool // and has answered all that it took

	ending atomic.Bool   // Close was called, or the peer broke the protocol
	end    sync.Once     // of reason and done
	reason error         // to be read after done
	done   chan struct{} // closed when no stream gets anything any more
	gone   chan struct{} // closed when the memory is let go of, too
}

// New starts a connection on link, which it owns from here on.
func New(link Link, opt Options) (*Conn, error) {
	if !link.Acquire() {
		return nil, ErrClosed
	}
	if opt.MaxHandlers == 0 {
		opt.MaxHandlers = MaxStreams
	}
	c := &Conn{link: link, opt: opt, done: make(chan struct{}), gone: make(chan struct{})}
	c.w.init(link.TX(), opt.Spin, &c.ending)
	c.lead.init(link.RX(), opt.Spin)
	c.worker.wake = make(chan struct{}, 1)
	c.runners = make(chan *Stream)
	c.pool.free, c.pool.windows = poolSize, poolSize
	c.lead.state.Store(leadHeld) // until attend has announced
	go c.attend()
	return c, nil
}

// attend waits on the doorbell for as long as the connection lives. It runs no
// code of users, so it always comes back to the doorbell.
func (c *Conn) attend() {
	c.quitLead()
	c.link.Await(c.woken)
	c.bury()
}

// woken is called when the doorbell rang: there is something to read, or room to write.
func (c *Conn) woken() {
	c.roomFreed()
	if c.lead.claim() {
		c.read()
	}
}

// bury ends the connection after its link did.
func (c *Conn) bury() {
	c.seizeLead()
	if !c.ending.Load() {
		// What the peer wrote before it went away still counts.
		if err := c.drain(); err != nil {
			c.ending.Store(true)
			c.finish(err)
		}
	}
	if c.lastGoAway.Load() {
		c.finish(fmt.Errorf("%w as it had said: %w", ErrPeerGone, ErrRefused))
	}
	c.finish(ErrPeerGone)
	for _, s := range c.in.all() {
		s.abandon(c.reason) // those that were read while the others were told
	}
	c.w.kill()
	c.link.Close()
	c.link.Release() // nobody reads, as the lead is never given back, and nobody writes
	close(c.gone)
}

// Close ends the connection. Streams fail with [ErrClosed]; the peer is told
// nothing but by the end of the link. It does not wait.
func (c *Conn) Close() { c.fail(ErrClosed) }

// fail ends the connection for a reason.
func (c *Conn) fail(reason error) {
	c.ending.Store(true)
	c.finish(reason)
	c.link.Close() // attend does the rest
}

// finish ends all streams.
func (c *Conn) finish(reason error) {
	c.end.Do(func() {
		c.reason = reason
		close(c.done)
		for _, s := range c.in.all() {
			s.abandon(reason)
		}
	})
}

// Done is closed when the connection has ended. Err then tells why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Gone is closed when everything that the connection held is let go of, but for
// handlers that still run.
func (c *Conn) Gone() <-chan struct{} { return c.gone }

// Err is why the connection ended: it wraps [ErrClosed], [ErrPeerGone] or
// [ErrProtocol]. It is nil while the connection lives.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.reason
	default:
		return nil
	}
}

// sleep waits until something was delivered to wake, and may wake up without a
// reason. It fails when ctx or the connection ends.
//
// Whoever waits reads for all: the caller leads if nobody else does, and sleeps only
// when its time for spinning is up. Brief says that it won't be long: a stream may be silent
// for hours.
func (c *Conn) sleep(ctx context.Context, wake chan struct{}, brief bool) error {
	if c.lead.take() && c.leadOnce(ctx, wake) {
		return nil
	}
	c.sleeps.Add(1)
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	if brief {
		c.brief.Add(1)
		defer c.brief.Add(-1)
	}
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.reason
	}
}

// leadOnce is leadFor, and gives the lead up again, also if ctx, which is the user's, panics.
func (c *Conn) leadOnce(ctx context.Context, wake chan struct{}) (hit bool) {
	defer func() {
		if hit && c.opt.Spin > 0 && c.othersWait() {
			c.callWorker() // who serves all alike, and without a doorbell
		} else {
			c.quitLead()
		}
	}()
	return c.leadFor(ctx, wake)
}

// othersWait tells the holder of the lead that there are others for whom to read. Streams
// count when something has come for them lately.
func (c *Conn) othersWait() bool {
	return c.brief.Load() > 0 || c.lead.shared() && c.waiting.Load() > 0
}

// rouse delivers a wake-up. A goroutine that leads for wake needs none: it looks.
func (c *Conn) rouse(wake chan struct{}) {
	if c.lead.wake == wake {
		c.lead.hit = true
		return
	}
	c.lead.foreign++
	signal(wake)
}

// signal puts a token into wake, unless one is there already.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
