package shmconn

// Read reads at least one byte, waiting for it if need be. After the last byte it
// returns [io.EOF] if the peer closed, and an error that wraps ECONNRESET if the
// peer's process went away.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	return n, c.opError("read", err)
}

func (c *Conn) read(p []byte) (int, error) {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if len(p) == 0 {
		return 0, c.usable(&c.rd)
	}
	if !c.sess.Acquire() {
		return 0, c.ended(&c.rd)
	}
	defer c.sess.Release()
	if err := c.await(&c.rd); err != nil {
		return 0, err
	}
	rx := c.sess.RX()
	n, err := rx.Read(p)
	if rx.NeedWake() {
		c.sess.Ring()
	}
	return n, c.checked(err)
}

// WaitRead waits until a Read would not wait, and reads nothing. It fails with what
// Read would fail with. Who reads rarely can do without a buffer while it waits.
func (c *Conn) WaitRead() error {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if !c.sess.Acquire() {
		return c.opError("read", c.ended(&c.rd))
	}
	defer c.sess.Release()
	return c.opError("read", c.await(&c.rd))
}

// lookRead tells whether there is a byte to read, or why none will ever come.
func (c *Conn) lookRead() (bool, error) {
	n, err := c.sess.Readable(1)
	return n > 0, err
}
