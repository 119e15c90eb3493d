//go:build explore

package interleave_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// TestDeadlineEndsRead: the deadline passes at any moment of the wait.
func TestDeadlineEndsRead(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Go("deadline", func() { must(p.b.SetReadDeadline(past)) })
		s.Go("B reads", func() {
			_, err := p.b.Read(make([]byte, 1))
			want(err, os.ErrDeadlineExceeded)
		})
	})
}

// TestDeadlineEndsWrite is the same for a Write that found the ring full.
func TestDeadlineEndsWrite(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(1, 8)
		send(p.a, 0, 1)
		s.Go("deadline", func() { must(p.a.SetWriteDeadline(past)) })
		s.Go("A writes", func() {
			_, err := p.a.Write(make([]byte, 1))
			want(err, os.ErrDeadlineExceeded)
		})
	})
}

// TestReadAfterDeadline: a deadline that ended a Read, or was too late to, does no harm
// to the next one.
func TestReadAfterDeadline(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Go("deadline", func() { must(p.b.SetReadDeadline(past)) })
		s.Go("A writes", func() { send(p.a, 0, 1) })
		s.Go("B reads", func() {
			var next byte
			buf := make([]byte, 1)
			n, err := p.b.Read(buf)
			want(err, nil, os.ErrDeadlineExceeded)
			check(buf[:n], &next)
			for next == 0 {
				must(p.b.SetReadDeadline(never))
				n, err := p.b.Read(buf)
				want(err, nil, os.ErrDeadlineExceeded)
				check(buf[:n], &next)
			}
		})
	})
}

// TestDeadlineBesideAWaiter: the deadline ends the Read that listens at the door; the
// Write that waits behind it takes over.
func TestDeadlineBesideAWaiter(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(1, 8)
		send(p.a, 0, 1)
		s.Go("deadline", func() { must(p.a.SetReadDeadline(past)) })
		s.Go("A reads", func() {
			_, err := p.a.Read(make([]byte, 1))
			want(err, os.ErrDeadlineExceeded)
		})
		s.Go("A writes", func() { send(p.a, 1, 1) })
		s.Go("B reads", func() { receive(p.b, 0, 2, 1) })
	})
}

// TestCloseEndsBoth: Close ends a Read and a Write of its own end.
func TestCloseEndsBoth(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(1, 8)
		send(p.a, 0, 1)
		s.Go("A closes", func() { must(p.a.Close()) })
		s.Go("A reads", func() {
			_, err := p.a.Read(make([]byte, 1))
			want(err, net.ErrClosed)
		})
		s.Go("A writes", func() {
			_, err := p.a.Write(make([]byte, 1))
			want(err, net.ErrClosed)
		})
	})
}

// TestPeerCloses: the reader gets every byte before the end.
func TestPeerCloses(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		if soak {
			s.Daemon("B's poller", p.sockB.LatePoller())
		}
		s.Go("A writes", func() { send(p.a, 0, 1, 1); must(p.a.Close()) })
		s.Go("B reads", func() {
			receive(p.b, 0, 2, 2)
			_, err := p.b.Read(make([]byte, 1))
			want(err, io.EOF)
		})
	})
}

// TestPeerClosesWrite is the same for a half-close: the socket stays.
func TestPeerClosesWrite(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Daemon("B's poller", p.sockB.LatePoller())
		s.Go("A writes", func() { send(p.a, 0, 1); must(p.a.CloseWrite()) })
		s.Go("B reads", func() {
			receive(p.b, 0, 1, 1)
			_, err := p.b.Read(make([]byte, 1))
			want(err, io.EOF)
		})
	})
}

// TestCloseWriteEndsWrite: it gives the Write up that is in its way.
func TestCloseWriteEndsWrite(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(1, 8)
		send(p.a, 0, 1)
		s.Go("A closes", func() { must(p.a.CloseWrite()) })
		s.Go("A writes", func() {
			_, err := p.a.Write(make([]byte, 1))
			want(err, syscall.EPIPE)
		})
	})
}

// TestReaderCloses: a Write that waits for room learns that there will be none.
func TestReaderCloses(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(1, 8)
		s.Daemon("A's poller", p.sockA.LatePoller())
		s.Go("A writes", func() {
			_, err := p.a.Write(make([]byte, 3))
			want(err, syscall.EPIPE, syscall.ECONNRESET)
		})
		s.Go("B", func() { receive(p.b, 0, 1, 1); must(p.b.Close()) })
	})
}

// TestPeerIsKilled kills A before each of its steps: B gets what A published, and then an
// error.
func TestPeerIsKilled(t *testing.T) {
	for lives := 0; ; lives++ {
		killed := false
		exhaust(t, func(s *explore.Schedule) {
			killed = false
			p := newPair(2, 8)
			s.GoUntil("A", lives, func() {
				send(p.a, 0, 1, 2)
				receive(p.a, 0, 1, 1)
			}, func() {
				killed = true
				p.sockA.Kill()
			})
			s.Go("B", func() {
				var next byte
				for next < 3 {
					buf := make([]byte, 1)
					n, err := p.b.Read(buf)
					check(buf[:n], &next)
					if err != nil {
						want(err, syscall.ECONNRESET)
						return
					}
				}
				_, err := p.b.Write([]byte{0})
				want(err, nil, syscall.ECONNRESET)
			})
		})
		if !killed {
			t.Logf("A has %d steps", lives)
			return
		}
	}
}

// TestSpuriousBells: the peer rings and takes announcements without a reason.
func TestSpuriousBells(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Go("noise", func() { p.ring(2) })
		s.Go("A writes", func() { send(p.a, 0, 1) })
		s.Go("B reads", func() { receive(p.b, 0, 1, 1) })
	})
}
