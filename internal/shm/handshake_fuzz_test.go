//go:build linux

package shm

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fuzzOptions are what our side of a fuzzed handshake wants.
var fuzzOptions = Options{
	Ring: MinRing, RingLimit: 1 << 20, Backings: AllBackings, Protos: []string{"direct/1"},
}

// unixPair is a connected pair of sockets.
func unixPair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// against runs our side of a handshake against a peer that sends data, with
// descriptors beside its first byte, and then closes. Whatever comes, our side ends, and
// leaves no descriptor behind. It may succeed only if legal.
func against(t *testing.T, shake func(*net.UnixConn, *Options) (*Session, error), legal bool, data []byte, fds []int) {
	t.Helper()
	before := openFiles(t)
	ours, theirs := unixPair(t)
	if len(data) > 0 {
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		// The socket's buffer holds more than a fuzzer sends.
		if n, _, err := theirs.WriteMsgUnix(data, oob, nil); err != nil || n < len(data) {
			t.Fatalf("sent %d of %d bytes: %v", n, len(data), err)
		}
	}
	if err := theirs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// The peer has sent all: nothing is left to wait for.
	if err := ours.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sess, err := shake(ours, &fuzzOptions)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handshake waits for a peer that has closed: %v", err)
	}
	switch {
	case (sess == nil) == (err == nil):
		t.Errorf("session %v and error %v", sess, err)
	case err != nil:
		ours.Close()
	default:
		if !legal {
			t.Error("the handshake succeeded")
		}
		poke(t, sess)
		sess.Close()
	}
	theirs.Close()
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after; error %v", before, after, err)
	}
}

// poke touches all of a session's memory: what a handshake let through must bear it.
func poke(t *testing.T, s *Session) {
	t.Helper()
	if !s.Acquire() {
		t.Fatal("a fresh session is closed")
	}
	defer s.Release()
	for i := range s.seg.mem {
		s.seg.mem[i]++
	}
}

func FuzzAccept(f *testing.F) {
	hi := frame(kindHello, fuzzOptions.hello())
	yes := frame(kindAck, ack{ok: true})
	f.Add(hi)
	f.Add(append(bytes.Clone(hi), yes...))
	f.Add(append(bytes.Clone(hi), frame(kindAck, ack{reason: "can't"})...))
	f.Add(append(append(bytes.Clone(hi), yes...), 1, 1, 1, 1))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) { against(t, Accept, true, data[:min(len(data), 16<<10)], nil) })
}

// The descriptors that a hostile listener may send, by the bits of a number.
func hostileFDs(t *testing.T, which uint8) (fds []int, free func()) {
	t.Helper()
	caps := capacities{MinRing, MinRing}
	memfd := func(size int, seals int) int {
		fd, err := unix.MemfdCreate("carp-fuzz", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Ftruncate(fd, int64(size)); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 64)
		writeHeader(head, caps)
		if _, err := unix.Pwrite(fd, head[:min(len(head), size)], 0); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	if which&1 != 0 { // the right one
		fds = append(fds, memfd(caps.segmentSize(), wantSeals))
	}
	if which&2 != 0 { // may shrink
		fds = append(fds, memfd(caps.segmentSize(), unix.F_SEAL_GROW))
	}
	if which&4 != 0 { // too short
		fds = append(fds, memfd(offData, wantSeals))
	}
	if which&8 != 0 { // can't be written
		fds = append(fds, memfd(caps.segmentSize(), wantSeals|unix.F_SEAL_WRITE))
	}
	if which&16 != 0 { // no memory at all
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds, func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

func FuzzConnect(f *testing.F) {
	good := frame(kindOffer, offer{version: Version, backing: MemFD, caps: capacities{MinRing, MinRing}})
	for which := range uint8(32) {
		f.Add(good, which)
	}
	f.Add(frame(kindOffer, offer{version: Version, backing: MemFD, caps: capacities{MaxRing, MaxRing}}), uint8(1))
	f.Add(frame(kindOffer, offer{version: Version, backing: SysV, caps: capacities{MinRing, MinRing}, id: 1 << 30}), uint8(0))
	f.Add(append(frame(kindOffer, offer{version: Version, backing: SysV, caps: capacities{MinRing, MinRing}}), good...), uint8(1))
	f.Add(frame(kindRefuse, refusal{reason: "no"}), uint8(0))
	f.Add(frame(kindAck, ack{ok: true}), uint8(31))
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		fds, free := hostileFDs(t, which)
		defer free()
		// Only the first descriptor counts, and only the right one will do.
		against(t, Connect, which&1 != 0, data[:min(len(data), 16<<10)], fds)
	})
}
