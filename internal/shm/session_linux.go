package shm

import "golang.org/x/sys/unix"

// bell is what the doorbell sends. Its value means nothing.
var bell = [1]byte{1}

// Ring wakes the peer's Await. It never blocks: a socket buffer that is full holds
// bells enough, and a peer that is gone needs none. The flags belong to the call and
// not to the descriptor, so nothing that the peer does to its end can make it block.
func (s *Session) Ring() { _ = s.raw.Control(ringBell) }

func ringBell(fd uintptr) {
	_ = unix.Send(int(fd), bell[:], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}
