package shmconn

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// Conn is a shared-memory connection. All methods may be called from many
// goroutines at once; a Read or Write that is under way keeps others of its kind
// waiting, as with any net.Conn.
type Conn struct {
	sess          *shm.Session
	local, remote Addr
	wait          Wait

	rd, wr half
	door   door

	readShut, writeShut atomic.Bool // CloseRead, CloseWrite was called

	broken atomic.Pointer[error] // why the connection was given up, if it was
	closed atomic.Bool
}

var _ net.Conn = (*Conn)(nil)

func newConn(sess *shm.Session, local, remote Addr, cfg *resolved) *Conn {
	c := &Conn{sess: sess, local: local, remote: remote, wait: cfg.Wait}
	c.door.init(sess)
	spin := shm.Spinner{Max: cfg.spin(), Peer: sess.Info().Peer.PID}
	c.rd.init(sess.RX(), spin, c.lookRead, func() { c.door.rouse(&c.rd) })
	c.wr.init(sess.TX(), spin, c.lookWrite, func() { c.door.rouse(&c.wr) })
	return c
}

// LocalAddr is the address listened on, or an Addr without a name for the end that
// dialled. Its type is [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address dialled, or an Addr without a name for the end that
// listened. Its type is [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// PeerCred is the identity of the peer's process. It stays known after Close.
func (c *Conn) PeerCred() PeerCred { return c.sess.Info().Peer }

// Info describes a connection.
type Info struct {
	// Backing is the kind of memory.
	Backing Backing

	// Fallback says why Backing is not the listener's first choice, or is empty.
	Fallback string

	// ReadRing and WriteRing are the capacities in bytes.
	ReadRing, WriteRing int
}

// Info describes the connection, as its two ends agreed on it. It stays known after
// Close.
func (c *Conn) Info() Info {
	info := c.sess.Info()
	return Info{
		Backing: info.Backing, Fallback: info.Why,
		ReadRing: c.sess.RX().Cap(), WriteRing: c.sess.TX().Cap(),
	}
}

// SetDeadline sets both deadlines. A Read or Write that is under way when its
// deadline passes, or is set to the past, fails with an error that wraps
// [os.ErrDeadlineExceeded]; the connection stays usable. The zero time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.rd, &c.wr)
}

// SetReadDeadline sets the deadline of Read. See SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.rd) }

// SetWriteDeadline sets the deadline of Write. See SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.wr) }

func (c *Conn) setDeadlines(t time.Time, halves ...*half) error {
	if c.closed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	for _, h := range halves {
		h.deadline.Set(t)
	}
	return nil
}

// Close ends the connection: Reads and Writes under way, and later ones, fail with
// an error that wraps [net.ErrClosed]. The peer still reads all that was written, and
// then io.EOF; its Writes fail with EPIPE. Close never blocks, and the second
// call returns an error that wraps net.ErrClosed.
func (c *Conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.opError("close", net.ErrClosed)
	}
	c.end()
	return nil
}

// end closes the session, which wakes whoever waits at the door.
func (c *Conn) end() {
	c.sess.Close()
	c.rd.deadline.stop()
	c.wr.deadline.stop()
}

// fail gives the connection up because of what the peer did. The reason sticks.
func (c *Conn) fail(err error) error {
	if c.broken.CompareAndSwap(nil, &err) {
		c.end()
	}
	return *c.broken.Load()
}

// usable tells why a Read or Write of half h can't go on, or nil.
func (c *Conn) usable(h *half) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.broken.Load() != nil:
		return *c.broken.Load()
	case h.deadline.past.Load():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// ended is why h is not usable when the session is closed already.
func (c *Conn) ended(h *half) error {
	if err := c.usable(h); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}

// await waits until half h has something to do. It is the sleeper of package shm's
// documentation: it announces itself anew before each look that can lead to sleep.
func (c *Conn) await(h *half) error {
	for vain := 0; ; vain++ {
		if err := c.usable(h); err != nil {
			return err
		}
		if ok, err := h.look(); ok || err != nil {
			return c.checked(err)
		}
		if h.spin.Spin(h.ready) {
			continue
		}
		calm(vain)
		h.ring.Announce()
		if !h.ready() && c.usable(h) == nil {
			c.door.park(h)
		}
		h.ring.Retract()
	}
}

// calm bounds what a peer can cost us that wakes us without a reason, by ringing or
// by taking announcements away. A well-behaved one does so once in a while.
func calm(vain int) {
	const tolerated = 64
	if vain >= tolerated {
		time.Sleep(time.Millisecond)
	}
}

// checked makes the connection fail if err says that the peer broke the protocol.
func (c *Conn) checked(err error) error {
	if errors.Is(err, ErrCorrupt) {
		return c.fail(err)
	}
	return err
}
