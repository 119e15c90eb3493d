package shmconn

import (
	"io"
	"net"
	"os"
)

// writeToChunk is how much WriteTo hands over at a time: the peer can fill the ring up
// again while the next chunk is under way.
const writeToChunk = 64 << 10

// WriteTo writes all that is still to be read to w, until io.EOF, which is no error. [io.Copy]
// uses it. A file, a socket of package net and another Conn get their bytes straight
// from the shared memory, without a copy in between: they look at each byte once. Other
// writers could see a byte change under them, so they get a copy, as from Read.
//
// There is no ReadFrom. It would have to fill shared memory by a foreign Read, which may
// read back what it wrote there; and from files and sockets, for which that is
// known to be safe, package io doesn't call it.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	switch w.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn, *Conn:
	default:
		return io.Copy(w, struct{ io.Reader }{c})
	}
	for {
		m, err := c.writeChunk(w)
		n += int64(m)
		if err == io.EOF { //nolint:errorlint // as all readers compare
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// writeChunk is a Read of what is there, into w. Like a Read it keeps others waiting.
func (c *Conn) writeChunk(w io.Writer) (n int, err error) {
	c.rd.mu.Lock()
	defer c.rd.mu.Unlock()
	if !c.sess.Acquire() {
		return 0, c.opError("read", c.ended(&c.rd))
	}
	defer c.sess.Release()
	if err := c.await(&c.rd); err != nil {
		return 0, c.opError("read", err)
	}
	rx := c.sess.RX()
	have, err := rx.Len(writeToChunk)
	if err != nil {
		return 0, c.opError("read", c.checked(err))
	}
	chunk, _ := rx.Bytes(min(have, writeToChunk))
	n, err = w.Write(chunk)
	rx.Consume(n)
	if rx.NeedWake() {
		c.sess.Ring()
	}
	return n, err
}
