package shmconn

import "syscall"

// publishChunk is how much of a large Write is published at a time: the peer copies one
// chunk out while the next one is copied in.
const publishChunk = 32 << 10

// Write writes all of p, waiting for the peer to make room if need be. It returns
// early, with the number of bytes that the peer may get to read, if the deadline
// passes or the connection ends; the error wraps EPIPE if the peer closed, and
// ECONNRESET if the peer's process went away.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	return n, c.opError("write", err)
}

func (c *Conn) write(p []byte) (n int, err error) {
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	if !c.sess.Acquire() {
		return 0, c.ended(&c.wr)
	}
	defer c.sess.Release()
	if len(p) == 0 {
		return 0, c.usable(&c.wr)
	}
	tx := c.sess.TX()
	for n < len(p) {
		if err := c.await(&c.wr); err != nil {
			return n, err
		}
		m, err := tx.Write(p[n:min(len(p), n+publishChunk)])
		n += m
		if tx.NeedWake() {
			c.sess.Ring()
		}
		if err != nil {
			return n, c.checked(err)
		}
	}
	return n, nil
}

// CloseWrite says that nothing more will be written: the peer reads what was
// written, and then io.EOF. Reading goes on. A Write under way, and later
// ones, fail with an error that wraps EPIPE.
func (c *Conn) CloseWrite() error { return c.opError("close", c.closeWrite()) }

func (c *Conn) closeWrite() error {
	c.writeShut.Store(true)
	c.door.rouse(&c.wr) // a Write under way gives up and lets go of the lock
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	if !c.sess.Acquire() {
		return c.ended(&c.wr)
	}
	defer c.sess.Release()
	tx := c.sess.TX()
	tx.CloseWrite()
	if tx.NeedWake() {
		c.sess.Ring()
	}
	return nil
}

// lookWrite tells whether there is room for a byte, or why nobody will ever read it.
func (c *Conn) lookWrite() (bool, error) {
	if c.writeShut.Load() {
		return false, syscall.EPIPE
	}
	n, err := c.sess.Writable(1)
	return n > 0, err
}
