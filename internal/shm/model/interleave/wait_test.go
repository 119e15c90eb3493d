//go:build explore

package interleave_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// TestReaderWaits: the reader sleeps for each byte, if it comes first.
func TestReaderWaits(t *testing.T) {
	sizes := []int{1, 1}
	if soak {
		sizes = []int{1, 1, 1}
	}
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Go("A writes", func() { send(p.a, 0, sizes...) })
		s.Go("B reads", func() { receive(p.b, 0, len(sizes), 1) })
	})
}

// TestWriterWaits: the ring holds two of the bytes, and the reader takes one at a time.
func TestWriterWaits(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(2, 8)
		s.Go("A writes", func() { send(p.a, 0, 3) })
		s.Go("B reads", func() { receive(p.b, 0, 3, 1) })
	})
}

// TestWriterWaitsForAQuarter: the reader lets the writer sleep until it is worth waking.
func TestWriterWaitsForAQuarter(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(8, 8)
		s.Go("A writes", func() { send(p.a, 0, 8, 2) })
		s.Go("B reads", func() { receive(p.b, 0, 10, 3) })
	})
}

// TestLatePoller: what the kernel reports reaches the runtime at any later time, and not at
// all if the bell was read meanwhile.
func TestLatePoller(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Daemon("B's poller", p.sockB.LatePoller())
		s.Go("A writes", func() { send(p.a, 0, 1, 1) })
		s.Go("B reads", func() { receive(p.b, 0, 2, 1) })
	})
}

// TestBellsFillTheSocket: it has room for one bell, so that bells are cleared away at each
// wait, and some can't be sent.
func TestBellsFillTheSocket(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 1)
		s.Daemon("B's poller", p.sockB.LatePoller())
		s.Go("A writes", func() { send(p.a, 0, 1, 1) })
		s.Go("B reads", func() { receive(p.b, 0, 2, 1) })
	})
}

// TestPingPong: each end writes and reads by turns.
func TestPingPong(t *testing.T) {
	rounds := byte(1)
	if soak {
		rounds = 2
	}
	exhaust(t, func(s *explore.Schedule) {
		p := newPair(4, 8)
		s.Go("A", func() {
			for i := range rounds {
				send(p.a, i, 1)
				receive(p.a, i, 1, 1)
			}
		})
		s.Go("B", func() {
			for i := range rounds {
				receive(p.b, i, 1, 1)
				send(p.b, i, 1)
			}
		})
	})
}

// TestBothHalvesWait: A's reader and A's writer wait at the same door, and one of them
// listens for both. B does what the one waits for, and what the other waits for only
// when the first has gone on.
func TestBothHalvesWait(t *testing.T) {
	for _, first := range []string{"read", "write"} {
		t.Run(first+" first", func(t *testing.T) {
			exhaust(t, func(s *explore.Schedule) {
				p := newPair(1, 8)
				send(p.a, 0, 1)
				done := make(chan struct{}, 2)
				s.Go("A reads", func() { receive(p.a, 0, 1, 1); note(done) })
				s.Go("A writes", func() { send(p.a, 1, 1); note(done) })
				s.Go("B", func() {
					if first == "read" {
						receive(p.b, 0, 1, 1)
						explore.Recv(done)
						send(p.b, 0, 1)
						return
					}
					send(p.b, 0, 1)
					explore.Recv(done)
					receive(p.b, 0, 1, 1)
				})
			})
		})
	}
}
