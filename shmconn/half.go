package shmconn

import (
	"sync"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// half is what a Conn has for each direction.
type half struct {
	mu       *sync.Mutex // held by the one Read or Write under way; see open
	deadline deadline
	ring     ring
	spin     shm.Spinner // under mu

	// look tells whether there is something to do: bytes to read or room to
	// write, or an error that ends the wait. It is called under mu, with a
	// reference to the memory.
	look  func() (bool, error)
	ready func() bool // look for those who only wait

	wake chan struct{} // see door
}

// ring is the waiting part of both ends of a ring.
type ring interface {
	Announce()
	Announced() bool
	Retract()
	Nap(limit time.Duration, ready func() bool) bool
}

func (h *half) init(r ring, spin shm.Spinner, look func() (bool, error), expired func()) {
	h.mu = new(sync.Mutex)
	h.ring, h.look = r, look
	h.wake = make(chan struct{}, 1)
	h.spin = spin
	h.spin.Nap = r.Nap
	h.deadline.expired = expired
	h.ready = func() bool {
		ok, err := look()
		return ok || err != nil
	}
}
