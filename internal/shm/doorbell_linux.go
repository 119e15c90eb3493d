package shm

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// doorbell is a session's use of its socket.
//
// Reading a bell out of the socket costs more than ringing it: the kernel tells the
// peer that there is room again, which wakes the peer's poller for nothing. So a
// wake-up reads nothing; that the poller reported an edge is enough. The bells are
// cleared away in bulk, before there can be so many that the peer's sends fail:
// a well-behaved peer rings once for each announcement it takes, so counting
// announcements bounds the bells. A peer that rings without a cause soon finds the
// buffer full, and then can't even wake the poller.
type doorbell struct {
	raw syscall.RawConn

	// Of the one goroutine in Wait or Await.
	asleep  func() bool
	woken   func()
	looked  bool   // Wait's step has run once
	cleared uint32 // announcements that were made when the bells were last cleared away

	bulk uint32 // announcements after which bells are cleared away

	// Bound once, so that nothing is allocated later.
	ring        func(fd uintptr)
	wait, await func(fd uintptr) bool
}

// bell is what the doorbell sends. Its value means nothing.
var bell = [1]byte{1}

func (s *Session) initDoorbell() error {
	raw, err := s.ctl.SyscallConn()
	if err != nil {
		return err
	}
	s.door = doorbell{raw: raw, ring: s.ringStep, wait: s.waitStep, await: s.awaitStep}
	return raw.Control(func(fd uintptr) { s.door.bulk = bulkOf(int(fd)) })
}

// bulkOf is how many bells surely fit into the buffer of a socket. The kernel accounts
// somewhat below 1 KiB for each.
func bulkOf(fd int) uint32 {
	const most, each = 64, 1 << 10
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return 1
	}
	return uint32(min(most, max(1, size/(2*each))))
}

// Ring wakes the peer's Wait or Await. It never blocks: a buffer that is full of bells
// rings no better for one more, and a peer that is gone needs none. The flags belong
// to the call and not to the descriptor, so nothing that the peer does to its end
// can make it block.
func (s *Session) Ring() { _ = s.door.raw.Control(s.door.ring) }

func (s *Session) ringStep(fd uintptr) {
	if isEnd(unix.Send(int(fd), bell[:], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)) {
		s.setGone()
	}
}

// Wait sleeps until the doorbell rings, or Kick or Close is called. It returns at once
// if asleep says that an announcement was taken away: its bell may have rung before
// anybody listened. It may return without a reason, and is for one goroutine at a
// time, which holds no reference to the memory for its sake.
//
// The order is: announce, re-check, Wait. Wait forgets what the poller has
// reported so far, then asks asleep, then sleeps. So a bell rings either for an
// announcement that asleep sees taken, or after the poller began to listen.
func (s *Session) Wait(asleep func() bool) {
	d := &s.door
	d.asleep, d.looked = asleep, false
	_ = d.raw.Read(d.wait)
	d.asleep = nil
}

// waitStep is called once before and once after the sleep.
func (s *Session) waitStep(fd uintptr) bool {
	d := &s.door
	if d.looked {
		return true
	}
	d.looked = true
	s.clearBells(fd)
	// The poller may have reported the socket's end together with a bell, and
	// has forgotten it now.
	return s.ended(fd) || !d.asleep()
}

// Read deadlines of the socket, whose only use is to end a Wait.
var (
	kicked = time.Unix(1, 0)
	never  = time.Time{}
)

// Kick makes a Wait under way return, and later ones return at once, until Unkick.
func (s *Session) Kick() { _ = s.ctl.SetReadDeadline(kicked) }

// Unkick makes Wait wait again.
func (s *Session) Unkick() { _ = s.ctl.SetReadDeadline(never) }

// Await waits on the doorbell for as long as the session lives, and calls woken at its
// start, after each wake-up and at the end; whether the peer is gone can be asked
// of Gone then. It is for one goroutine; it holds no reference to the memory and
// returns soon after Close. woken may call Close.
func (s *Session) Await(woken func()) {
	s.door.woken = woken
	s.awaited.Store(true)
	// Read is not left between wake-ups, so the poller forgets none.
	err := s.door.raw.Read(s.door.await)
	if err != nil && !s.Closed() {
		s.setGone()
	}
	_ = s.ctl.Close()
	woken()
}

func (s *Session) awaitStep(fd uintptr) bool {
	if s.Closed() {
		return true
	}
	s.clearBells(fd)
	if s.ended(fd) {
		return true
	}
	s.door.woken()
	return false
}

// hangUp ends the socket. Where Await is at work closing is left to it: Close would
// wait for Read to let go of the descriptor, which may be what called it.
func (s *Session) hangUp() {
	if !s.awaited.Load() {
		_ = s.ctl.Close()
		return
	}
	_ = s.door.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

// ended tells whether the peer's end of the socket is closed. To send nothing is the
// cheapest way to ask.
func (s *Session) ended(fd uintptr) bool {
	if isEnd(unix.Send(int(fd), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)) {
		s.setGone()
	}
	return s.gone.Load()
}

func isEnd(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// clearBells reads the bells out of the socket if enough of them may be there.
func (s *Session) clearBells(fd uintptr) {
	announced := atomic.LoadUint32(&s.tx.announced) + atomic.LoadUint32(&s.rx.announced)
	if announced-s.door.cleared < s.door.bulk {
		return
	}
	s.door.cleared = announced
	var buf [4 << 10]byte // more than fits
	// It doesn't block: the flag that says so is of our end, which no peer holds.
	_, _ = unix.Read(int(fd), buf[:])
}
