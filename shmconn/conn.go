package shmconn

import (
	"errors"
	"net"
	"os"
	"sync"
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

	rd, wr half
	shut   atomic.Bool // CloseWrite was called

	broken atomic.Pointer[error] // why the connection was given up, if it was
	closed chan struct{}
	close  sync.Once
}

var _ net.Conn = (*Conn)(nil)

// half is what a Conn has for each direction.
type half struct {
	mu       sync.Mutex // held by the one Read or Write under way
	wake     chan struct{}
	deadline deadline
	spin     shm.Spinner
	ready    func() bool // for spin: there is something to do; may be used under mu only
}

func (h *half) init(spin time.Duration, ready func() bool) {
	h.wake = make(chan struct{}, 1)
	h.deadline.init()
	h.spin.Max = spin
	h.ready = ready
}

// rouse wakes the goroutine that is parked on h, or the next one to park.
func (h *half) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func newConn(sess *shm.Session, local, remote Addr, cfg *resolved) *Conn {
	c := &Conn{sess: sess, local: local, remote: remote, closed: make(chan struct{})}
	c.rd.init(cfg.spin(), c.readable)
	c.wr.init(cfg.spin(), c.writable)
	if sess.Info().Proto == "" { // otherwise somebody else will wait, see package upper
		go sess.Await(c.rouse)
	}
	return c
}

func (c *Conn) rouse() {
	c.rd.rouse()
	c.wr.rouse()
}

// LocalAddr is the address listened on, or an Addr without a name for the end that
// dialled. Its type is [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address dialled, or an Addr without a name for the end that
// listened. Its type is [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// PeerCred is the identity of the peer's process. It stays known after Close.
func (c *Conn) PeerCred() PeerCred { return c.sess.Info().Peer }

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
	if c.isClosed() {
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
	err := net.ErrClosed
	c.close.Do(func() {
		close(c.closed)
		c.sess.Close()
		err = nil
	})
	return c.opError("close", err)
}

func (c *Conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// fail gives the connection up because of what the peer did. The reason sticks.
func (c *Conn) fail(err error) error {
	if c.broken.CompareAndSwap(nil, &err) {
		c.sess.Close()
		c.rouse()
	}
	return err
}

// usable tells why a Read or Write of half h can't go on, or nil.
func (c *Conn) usable(h *half) error {
	if broken := c.broken.Load(); broken != nil {
		return *broken
	}
	if c.isClosed() {
		return net.ErrClosed
	}
	if h.deadline.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// park sleeps until the doorbell rings, or h is not usable any more.
func (c *Conn) park(h *half) error {
	select {
	case <-h.wake:
	case <-h.deadline.Passed():
	case <-c.closed:
	}
	return c.usable(h)
}

// checked makes the connection fail if err says that the peer broke the protocol.
func (c *Conn) checked(err error) error {
	if errors.Is(err, ErrCorrupt) {
		return c.fail(err)
	}
	return err
}
