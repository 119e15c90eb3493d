package direct

// GoAway asks the peer to make no further calls, and refuses those that it makes all the
// same. Calls under way go on.
func (c *Conn) GoAway() {
	c.draining.Store(true)
	c.control(kindGoAway, 0, 0, 0)
}

// Draining tells whether the peer asked for no further calls.
func (c *Conn) Draining() bool { return c.goAway.Load() }

// Open streams, by who opened them.
func (c *Conn) Streams() (ours, theirs int) { return c.out.count(), c.in.count() }

func (t *table) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}
