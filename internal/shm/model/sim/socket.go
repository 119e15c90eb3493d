// Package sim simulates what a shared-memory connection needs of the kernel and
// of Go's network poller, for the exploration of its code (package explore): a
// pair of unix sockets that carry bells, and who waits on them.
//
// Every call is a step, or two where the kernel takes two: an end is closed before
// the other learns of it. An end and what waits on it are one object.
package sim

import (
	"net"
	"os"
	"syscall"
	"time"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// UnixConn stands in for [net.UnixConn].
type UnixConn struct {
	name string
	fd   int
	peer *UnixConn

	// The kernel's.
	bells int  // bytes in the buffer, to be read by this end
	room  int  // bytes that the buffer holds
	deaf  bool // this end takes no more bells
	hup   bool // the connection is at its end
	edge  bool // epoll has something to report of this end

	// The poller's, and the runtime's.
	late  bool // the poller reports only when it runs, as a thread of its own
	ready bool // what the poller reported, and nobody took yet
	past  bool // the read deadline is over
	shut  bool // closed by this process
	users int  // of the descriptor, under way
	freed bool // closed in the kernel
}

// table are the descriptors of the present run.
var table []*UnixConn

// Pair makes a connected pair of sockets, and forgets all others. room is how many bells
// a buffer holds.
func Pair(room int) (a, b *UnixConn) {
	a, b = &UnixConn{name: "socket of A", room: room}, &UnixConn{name: "socket of B", fd: 1, room: room}
	a.peer, b.peer = b, a
	table = []*UnixConn{a, b}
	return a, b
}

// String names the socket in a trace.
func (c *UnixConn) String() string { return c.name }

// LatePoller makes what epoll has to report come later: when the function that it
// returns, which is for a daemon thread, runs.
func (c *UnixConn) LatePoller() (run func()) {
	c.late = true
	return func() {
		for {
			explore.When(c, explore.Write, func() bool { return c.edge })
			c.edge = false
			// epoll asks the socket again before it reports: what was read
			// meanwhile is not reported.
			c.ready = c.ready || c.bells > 0 || c.hup
		}
	}
}

// event is what the kernel does when something arrives.
func (c *UnixConn) event() {
	if c.late {
		c.edge = true
	} else {
		c.ready = true
	}
}

// enter takes the descriptor into use.
func (c *UnixConn) enter() error {
	if c.shut {
		return net.ErrClosed
	}
	c.users++
	return nil
}

// leave ends a use. The last one closes what was to be closed. It is no step of its own
// as long as nobody closed: nobody could tell.
func (c *UnixConn) leave() {
	if c.shut {
		explore.Touch(c, explore.Write)
	}
	c.users--
	if c.shut && c.users == 0 {
		c.free()
	}
}

// free closes the descriptor in the kernel.
func (c *UnixConn) free() {
	c.freed, c.deaf = true, true
	explore.Touch(c.peer, explore.Write)
	c.peer.hangUp()
}

func (c *UnixConn) hangUp() {
	c.hup = true
	c.event()
}

// Close closes the socket, as the process does.
func (c *UnixConn) Close() error {
	explore.Touch(c, explore.Write)
	if c.shut {
		return net.ErrClosed
	}
	c.shut = true
	if c.users == 0 {
		c.free()
		return nil
	}
	explore.When(c, explore.Read, func() bool { return c.freed })
	return nil
}

// Kill closes the socket, as the kernel does when the process dies.
func (c *UnixConn) Kill() {
	explore.Touch(c, explore.Write)
	if !c.freed {
		c.shut = true
		c.free()
	}
}

// SetReadDeadline knows a time that is past, and none.
func (c *UnixConn) SetReadDeadline(t time.Time) error {
	explore.Touch(c, explore.Write)
	if c.shut {
		return net.ErrClosed
	}
	c.past = !t.IsZero()
	return nil
}

// SyscallConn gives the descriptor to callbacks.
func (c *UnixConn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

type rawConn struct{ c *UnixConn }

func (r rawConn) Control(f func(fd uintptr)) error {
	explore.Touch(r.c, explore.Read)
	if err := r.c.enter(); err != nil {
		return err
	}
	f(uintptr(r.c.fd))
	r.c.leave()
	return nil
}

// Read is internal/poll's RawRead: it forgets what was reported, and then lets f try and
// waits by turns.
func (r rawConn) Read(f func(fd uintptr) bool) error {
	c := r.c
	explore.Touch(c, explore.Write)
	if err := c.enter(); err != nil {
		return err
	}
	err := r.read(f)
	c.leave()
	return err
}

func (r rawConn) read(f func(fd uintptr) bool) error {
	c := r.c
	if err := c.usable(); err != nil {
		return err
	}
	c.ready = false
	for !f(uintptr(c.fd)) {
		explore.When(c, explore.Write, func() bool { return c.ready || c.past || c.shut })
		if err := c.usable(); err != nil {
			return err
		}
		c.ready = false
	}
	return nil
}

func (c *UnixConn) usable() error {
	switch {
	case c.shut:
		return net.ErrClosed
	case c.past:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

func (r rawConn) Write(func(fd uintptr) bool) error { panic("sim: nobody waits to write") }
