package shm

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// PeerCred is the identity of a peer's process, as the kernel recorded it when the
// socket was connected (SO_PEERCRED). PID is 0 where the peer lives in a PID
// namespace that can't be seen from here.
type PeerCred struct {
	PID      int
	UID, GID uint32
}

// Info is what the handshake settled. It doesn't change.
type Info struct {
	Peer    PeerCred
	Proto   string // the upper protocol; "" is the byte stream
	Backing Backing
	Why     string // why Backing is not the preferred one, or ""
}

// Session is one connection: two rings and the socket beside them.
//
// The rings live in mapped memory, so whoever touches them holds a reference
// ([Session.Acquire]); Close unmaps when the last one is released.
type Session struct {
	info Info
	seg  *Segment
	tx   Producer
	rx   Consumer

	ctl  *net.UnixConn
	door doorbell
	trim *trimmer // nil, or set by TrimWhenIdle

	refs    atomic.Int64 // references to the mapping, and closedBit
	unmap   sync.Once
	gone    atomic.Bool // the peer's end of the socket is closed
	awaited atomic.Bool // Await was called: it closes ctl
}

// closedBit in refs says that Close was called. It is far above any count.
const closedBit = 1 << 40

// newSession makes a session of a mapped segment, which it closes if it fails. The
// dialler writes ring 0 and reads ring 1, the listener the other way round.
func newSession(seg *Segment, ctl *net.UnixConn, dialler bool, info Info) (*Session, error) {
	out, in := 0, 1
	if !dialler {
		out, in = in, out
	}
	info.Backing = seg.backing
	s := &Session{info: info, seg: seg, ctl: ctl}
	s.tx = newProducer(seg.ring(out))
	s.rx = newConsumer(seg.ring(in))
	s.refs.Store(1) // Close's own
	if err := s.initDoorbell(); err != nil {
		_ = seg.close()
		return nil, err
	}
	return s, nil
}

// Info is what the handshake settled.
func (s *Session) Info() Info { return s.info }

// TX is the ring to the peer. Hold a reference while using it.
func (s *Session) TX() *Producer { return &s.tx }

// RX is the ring from the peer. Hold a reference while using it.
func (s *Session) RX() *Consumer { return &s.rx }

// Acquire takes a reference to the rings' memory. It fails once the session is
// closed.
func (s *Session) Acquire() bool {
	if s.refs.Add(1) < closedBit {
		return true
	}
	s.Release()
	return false
}

// Release gives a reference back.
func (s *Session) Release() {
	if s.refs.Add(-1) == closedBit {
		// An Acquire that fails passes here too, perhaps after the last
		// true reference: hence Once.
		s.unmap.Do(func() { _ = s.seg.close() })
	}
}

// Closed tells whether Close was called.
func (s *Session) Closed() bool { return s.refs.Load() >= closedBit }

// Gone tells whether the peer's end of the socket is closed, as far as Wait, Await or
// Ring noticed. All that the peer ever stored is visible to a caller that is told
// true.
func (s *Session) Gone() bool { return s.gone.Load() }

func (s *Session) setGone() {
	raceAcquire()
	s.gone.Store(true)
}

// State of the incoming ring, as [Session.Readable] tells it.
var (
	// ErrReset says that the peer went away without closing.
	ErrReset = syscall.ECONNRESET
	// ErrPipe says that the peer reads no more.
	ErrPipe = syscall.EPIPE
)

// Readable tells how many bytes can be read: 0 and no error if there are none
// yet, and [io.EOF] or [ErrReset] when there won't be any. Hold a reference.
func (s *Session) Readable(want int) (int, error) {
	// Both are looked at before the ring: what they say is true of all that
	// the ring will ever hold.
	gone, ended := s.gone.Load(), s.rx.Ended()
	n, err := s.rx.Len(want)
	switch {
	case n > 0 || err != nil:
		return n, err
	case ended:
		return 0, io.EOF
	case gone:
		return 0, ErrReset
	default:
		return 0, nil
	}
}

// Writable tells how many bytes can be written: 0 and no error if the ring is
// full, [ErrPipe] or [ErrReset] when the peer will read no more. Hold a reference.
func (s *Session) Writable(want int) (int, error) {
	if s.tx.Reset() {
		return 0, ErrPipe
	}
	if s.gone.Load() {
		return 0, ErrReset
	}
	return s.tx.Free(want)
}

// Close tells the peer that nothing more will be written or read, closes the
// socket and lets go of the memory. What was published before stays readable for
// the peer. The second call does nothing.
func (s *Session) Close() {
	if s.Acquire() {
		s.tx.CloseWrite()
		s.rx.CloseRead()
		s.Release()
	}
	raceRelease()
	for {
		refs := s.refs.Load()
		if refs >= closedBit {
			return
		}
		if s.refs.CompareAndSwap(refs, refs|closedBit) {
			break
		}
	}
	s.trim.stop()
	s.hangUp()
	s.Release()
}
