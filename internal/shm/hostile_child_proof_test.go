//go:build linux

package shm_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// role adds a child process: var _ = role("name", function).
func role(name string, f testproc.Role) struct{} {
	shm.Roles[name] = f
	return struct{}{}
}

var (
	_ = role("hostile dialler", hostileDialler)
	_ = role("hostile listener", hostileListener)
)

// hostileOptions ask for rings of any legal size.
func hostileOptions(rng *rand.Rand) *shm.Options {
	ring := shm.MinRing << rng.IntN(6)
	return &shm.Options{Ring: ring, RingLimit: shm.MaxRing, Backings: shm.AllBackings}
}

func seeded(c *testproc.Child) *rand.Rand {
	seed, err := strconv.ParseUint(c.Args[0], 10, 64)
	if err != nil {
		panic(err)
	}
	return rand.New(rand.NewPCG(seed, 0))
}

// hostileDialler connects to each of the addresses in turn, over and over, and attacks.
// It is killed in the end.
func hostileDialler(c *testproc.Child) error {
	rng := seeded(c)
	c.Ready("ready")
	for i := 0; ; i++ {
		addr := &net.UnixAddr{Net: "unix", Name: c.Args[1+i%(len(c.Args)-1)]}
		conn, err := net.DialUnix("unix", nil, addr)
		if err != nil {
			return err
		}
		if rng.IntN(8) == 0 {
			mumble(rng, conn)
			continue
		}
		sess, err := shm.Connect(conn, hostileOptions(rng))
		if err != nil {
			conn.Close()
			return err
		}
		attack(rng, sess)
	}
}

// hostileListener attacks whoever connects.
func hostileListener(c *testproc.Child) error {
	rng := seeded(c)
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: c.Args[1]})
	if err != nil {
		return err
	}
	c.Ready("ready")
	for {
		conn, err := lis.AcceptUnix()
		if err != nil {
			return err
		}
		if rng.IntN(8) == 0 {
			mumble(rng, conn)
			continue
		}
		sess, err := shm.Accept(conn, hostileOptions(rng))
		if err != nil {
			conn.Close()
			continue
		}
		attack(rng, sess)
	}
}

// mumble says something that is no handshake, or nothing, with descriptors.
func mumble(rng *rand.Rand, conn *net.UnixConn) {
	msg := make([]byte, rng.IntN(64))
	for i := range msg {
		msg[i] = byte(rng.Uint32())
	}
	if rng.IntN(2) == 0 {
		copy(msg, "carp-shm")
	}
	_, _, _ = conn.WriteMsgUnix(msg, unix.UnixRights(0, 1, 2), nil)
	conn.Close()
}

// attack does several of the attacks at a time to one connection, for a moment, and then
// closes it in one way or another.
func attack(rng *rand.Rand, sess *shm.Session) {
	if !sess.Acquire() {
		return
	}
	defer sess.Release()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(5+rng.IntN(40))*time.Millisecond)
	defer cancel()
	attacks := []func(context.Context, *rand.Rand, *shm.Session){scribble, scribbleWaits, punch, flip, ringBells, sendFDs, behave}
	var wg sync.WaitGroup
	for _, a := range attacks {
		if rng.IntN(3) > 0 {
			continue
		}
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		wg.Go(func() { a(ctx, own, sess) })
	}
	wg.Wait()
	if rng.IntN(2) == 0 {
		sess.Control().Close() // as if it had crashed
	}
	sess.Close()
}

// The words that matter lie in the first 1,280 bytes: the header and both rings' words.
const wordsEnd = 0x500

// scribble stores random words, some near to what is there, over the header and the
// words of the rings, and now and then over the bytes.
func scribble(ctx context.Context, rng *rand.Rand, sess *shm.Session) {
	mem := sess.Memory()
	for ctx.Err() == nil {
		at := 8 * rng.IntN(wordsEnd/8)
		if rng.IntN(4) == 0 {
			at = 8 * rng.IntN(len(mem)/8)
		}
		v := rng.Uint64() >> rng.IntN(64)
		if rng.IntN(2) == 0 {
			v = binary.NativeEndian.Uint64(mem[at:]) + uint64(int64(rng.IntN(1<<rng.IntN(20)))) - 8
		}
		binary.NativeEndian.PutUint64(mem[at:], v)
		if rng.IntN(100) == 0 {
			pauseFor(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
		}
	}
}

// scribbleWaits changes the wait words only, which no check can find wrong.
func scribbleWaits(ctx context.Context, rng *rand.Rand, sess *shm.Session) {
	mem := sess.Memory()
	for ctx.Err() == nil {
		ring := 0x100 + 0x200*rng.IntN(2)
		wait := 0x100 + 0x80*rng.IntN(2)
		binary.NativeEndian.PutUint32(mem[ring+wait:], uint32(rng.IntN(4)))
	}
}

// punch frees pages of the segment, which then read as zeros.
func punch(ctx context.Context, rng *rand.Rand, sess *shm.Session) {
	mem := sess.Memory()
	page := os.Getpagesize()
	for ctx.Err() == nil {
		at := rng.IntN(len(mem)/page) * page
		_ = unix.Madvise(mem[at:at+page], unix.MADV_REMOVE)
		pauseFor(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
	}
}

// flip changes O_NONBLOCK of all descriptors that this process has, but the standard
// ones.
func flip(ctx context.Context, rng *rand.Rand, _ *shm.Session) {
	for ctx.Err() == nil {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return
		}
		for _, e := range entries {
			fd, err := strconv.Atoi(filepath.Base(e.Name()))
			if err != nil || fd < 3 {
				continue
			}
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, rng.IntN(2)*unix.O_NONBLOCK)
		}
	}
}

// onSocket calls f with the descriptor of the socket, until the time is over.
func onSocket(ctx context.Context, sess *shm.Session, f func(fd int)) {
	raw, err := sess.Control().SyscallConn()
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		if err := raw.Control(func(fd uintptr) { f(int(fd)) }); err != nil {
			return
		}
	}
}

// ringBells keeps the doorbell's buffer full, of anything.
func ringBells(ctx context.Context, rng *rand.Rand, sess *shm.Session) {
	msg := make([]byte, 1+rng.IntN(4096))
	onSocket(ctx, sess, func(fd int) {
		_ = unix.Send(fd, msg[:1+rng.IntN(len(msg))], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
}

// sendFDs sends as many descriptors as a message can carry.
func sendFDs(ctx context.Context, _ *rand.Rand, sess *shm.Session) {
	const most = 253 // SCM_MAX_FD
	fds := make([]int, most)
	for i := range fds {
		fds[i] = i % 3
	}
	oob := unix.UnixRights(fds...)
	onSocket(ctx, sess, func(fd int) {
		_ = unix.Sendmsg(fd, []byte{1}, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
}

// behave reads and writes as it should, so that the victim has something to do.
func behave(ctx context.Context, _ *rand.Rand, sess *shm.Session) {
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		if _, err := sess.TX().Write(buf); err != nil {
			return
		}
		if sess.TX().NeedWake() {
			sess.Ring()
		}
		if _, err := sess.RX().Read(buf); err != nil {
			return
		}
		if sess.RX().NeedWake() {
			sess.Ring()
		}
	}
}

// pauseFor waits, but not longer than ctx.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// harmless tells whether a victim may see the error.
func harmless(err error) bool {
	for _, ok := range []error{
		nil, shm.ErrCorrupt, shm.ErrRefused, shm.ErrNotShm, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		unix.ECONNRESET, unix.EPIPE, os.ErrDeadlineExceeded, context.DeadlineExceeded,
	} {
		if errors.Is(err, ok) {
			return true
		}
	}
	return false
}
