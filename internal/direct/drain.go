package direct

import "time"

// GoAway asks the peer to make no further calls, and refuses those that it makes all the
// same. Calls under way go on.
func (c *Conn) GoAway() {
	c.draining.Store(true)
	c.control(kindGoAway, 0, 0, goAwayFirst)
}

// Leave ends a connection on which GoAway was called and then Drained: all calls of the peer's
// that were looked at have been answered, and it may make others elsewhere. A connection that
// was ended meanwhile took calls with it: the peer must not make those again.
func (c *Conn) Leave() {
	if c.Err() == nil {
		c.control(kindGoAway, 0, 0, goAwayLast)
	}
	c.Close()
}

// Values of a goaway frame.
const (
	goAwayFirst = 0
	goAwayLast  = 1 // nobody has looked at the streams that are open still
)

// Drained waits until no call of the peer's is under way, handlers included, or the
// connection has ended.
func (c *Conn) Drained() { c.awaitHandlers(c.done) }

// HandlersDone waits until no handler of the peer's calls runs, whatever becomes of the
// connection. After Gone, none begins.
func (c *Conn) HandlersDone() { c.awaitHandlers(nil) }

// Handlers counts the handlers that run.
func (c *Conn) Handlers() int { return int(c.handlers.Load()) }

func (c *Conn) awaitHandlers(until <-chan struct{}) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for c.handlers.Load() > 0 {
		select {
		case <-tick.C:
		case <-until:
			return
		}
	}
}

// drainEvery is how often one looks. A hot path that told would pay for each call what is
// wanted once in a connection's life.
const drainEvery = time.Millisecond

// Draining tells whether the peer asked for no further calls.
func (c *Conn) Draining() bool { return c.goAway.Load() }

// Streams counts the open streams, by who opened them.
func (c *Conn) Streams() (ours, theirs int) { return c.out.count(), c.in.count() }

// Opened counts the streams that were opened so far, by who opened them.
func (c *Conn) Opened() (ours, theirs uint64) { return c.out.total(), c.in.total() }

func (t *table) total() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.opened
}

func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}
