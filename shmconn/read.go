package shmconn

import "net"

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
	if err := c.usable(&c.rd); err != nil || len(p) == 0 {
		return 0, err
	}
	if !c.sess.Acquire() {
		return 0, net.ErrClosed
	}
	defer c.sess.Release()
	if err := c.awaitReadable(); err != nil {
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
	if err := c.usable(&c.rd); err != nil {
		return c.opError("read", err)
	}
	if !c.sess.Acquire() {
		return c.opError("read", net.ErrClosed)
	}
	defer c.sess.Release()
	return c.opError("read", c.awaitReadable())
}

// awaitReadable waits until there is a byte to read, or none will ever come. It is
// the sleeper of package shm's documentation: it announces itself anew before each
// look that can lead to sleep.
func (c *Conn) awaitReadable() error {
	for {
		if n, err := c.sess.Readable(1); n > 0 || err != nil {
			return c.checked(err)
		}
		if c.rd.spin.Spin(c.rd.ready) {
			continue
		}
		rx := c.sess.RX()
		rx.Announce()
		if c.readable() {
			rx.Retract()
			continue
		}
		err := c.park(&c.rd)
		rx.Retract()
		if err != nil {
			return err
		}
	}
}

// readable tells whether awaitReadable has something to return.
func (c *Conn) readable() bool {
	n, err := c.sess.Readable(1)
	return n > 0 || err != nil || c.sess.Closed()
}
