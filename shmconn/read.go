package shmconn

import "io"

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

// CloseRead says that nothing more will be read: the peer's Writes fail with EPIPE. Reads
// give what was there already, and then io.EOF. Writing goes on.
func (c *Conn) CloseRead() error { return c.opError("close", c.closeRead()) }

func (c *Conn) closeRead() error {
	c.readShut.Store(true)
	c.door.rouse(&c.rd) // a Read under way ends and lets go of the lock
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if !c.sess.Acquire() {
		return c.ended(&c.rd)
	}
	defer c.sess.Release()
	rx := c.sess.RX()
	rx.CloseRead()
	if rx.NeedWake() {
		c.sess.Ring()
	}
	return nil
}

// lookRead tells whether there is a byte to read, or why none will ever come.
func (c *Conn) lookRead() (bool, error) {
	n, err := c.sess.Readable(1)
	if n == 0 && err == nil && c.readShut.Load() {
		err = io.EOF
	}
	return n > 0, err
}
