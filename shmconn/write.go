package shmconn

import (
	"net"
	"syscall"
)

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
	if err := c.usable(&c.wr); err != nil {
		return 0, err
	}
	if c.shut.Load() {
		return 0, syscall.EPIPE
	}
	if !c.sess.Acquire() {
		return 0, net.ErrClosed
	}
	defer c.sess.Release()
	for n < len(p) {
		if err := c.awaitWritable(); err != nil {
			return n, err
		}
		m, err := c.sess.TX().Write(p[n:min(len(p), n+publishChunk)])
		n += m
		if c.sess.TX().NeedWake() {
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
	c.shut.Store(true)
	c.wr.rouse() // a Write under way gives up and lets go of the lock
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	if !c.sess.Acquire() {
		return net.ErrClosed
	}
	defer c.sess.Release()
	tx := c.sess.TX()
	tx.CloseWrite()
	if tx.NeedWake() {
		c.sess.Ring()
	}
	return nil
}

// awaitWritable waits until there is room for a byte, or nobody will ever read it.
func (c *Conn) awaitWritable() error {
	for {
		if c.shut.Load() {
			return syscall.EPIPE
		}
		if n, err := c.sess.Writable(1); n > 0 || err != nil {
			return c.checked(err)
		}
		if c.wr.spin.Spin(c.wr.ready) {
			continue
		}
		tx := c.sess.TX()
		tx.Announce()
		if c.writable() {
			tx.Retract()
			continue
		}
		err := c.park(&c.wr)
		tx.Retract()
		if err != nil {
			return err
		}
	}
}

// writable tells whether awaitWritable has something to return.
func (c *Conn) writable() bool {
	n, err := c.sess.Writable(1)
	return n > 0 || err != nil || c.shut.Load() || c.sess.Closed()
}
