package sim

import (
	"syscall"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// What stands in for golang.org/x/sys/unix, as far as doorbells need it.
const (
	MSG_DONTWAIT = 0 //nolint:staticcheck // as in package unix
	MSG_NOSIGNAL = 0 //nolint:staticcheck // as in package unix
	SHUT_RDWR    = 2 //nolint:staticcheck // as in package unix
	SOL_SOCKET   = 0 //nolint:staticcheck // as in package unix
	SO_SNDBUF    = 0 //nolint:staticcheck // as in package unix

	EPIPE      = syscall.EPIPE
	ECONNRESET = syscall.ECONNRESET
	EAGAIN     = syscall.EAGAIN
)

// Send puts bells into the peer's buffer. It never waits. To send nothing tells whether
// the connection is at its end.
func Send(fd int, bells []byte, _ int) error {
	c := table[fd]
	explore.Touch(c, explore.Read)
	if c.hup {
		return EPIPE
	}
	if len(bells) == 0 {
		return nil
	}
	explore.Touch(c.peer, explore.Write)
	switch {
	case c.peer.deaf:
		return EPIPE
	case c.peer.bells+len(bells) > c.peer.room:
		return EAGAIN
	}
	c.peer.bells += len(bells)
	c.peer.event()
	return nil
}

// Read takes bells out of the buffer.
func Read(fd int, p []byte) (int, error) {
	c := table[fd]
	explore.Touch(c, explore.Write)
	n := min(len(p), c.bells)
	c.bells -= n
	switch {
	case n > 0:
		return n, nil
	case c.hup:
		return 0, nil
	default:
		return 0, EAGAIN
	}
}

// Shutdown ends the connection without closing the descriptor.
func Shutdown(fd, _ int) error {
	c := table[fd]
	explore.Touch(c, explore.Write)
	c.deaf = true
	c.hangUp()
	explore.Touch(c.peer, explore.Write)
	c.peer.hangUp()
	return nil
}

// GetsockoptInt tells the size of the buffer, in the terms of doorbells: 2 KiB for each bell.
func GetsockoptInt(fd, _, _ int) (int, error) { return table[fd].room << 11, nil }
