package shm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

var (
	_ = role("sysv-half-made", sysvHalfMade)
	_ = role("sysv-shakes", sysvShakes)
)

var sysvCaps = capacities{MinRing, MinRing}

// sysvHalfMade makes a segment, but for the last steps.
func sysvHalfMade(c *testproc.Child) error {
	id, err := makeSysV(sysvCaps.segmentSize())
	if err != nil {
		return err
	}
	if slices.Contains(c.Args, "attach") {
		if _, err := unix.SysvShmAttach(id, 0, 0); err != nil {
			return err
		}
	}
	c.Ready("%d", id)
	_, _ = c.In.ReadString('\n')
	return nil
}

// sysvShakes makes and drops segments until it is killed.
func sysvShakes(c *testproc.Child) error {
	c.Ready("begun")
	for {
		seg, _, err := createSysV(sysvCaps)
		if err != nil {
			return err
		}
		if err := seg.close(); err != nil {
			return err
		}
	}
}

// segmentsOf are the ids of the segments that a process made, and that can still be found
// by their key: those that were not removed.
func segmentsOf(t *testing.T, creator int) (ids []string) {
	t.Helper()
	data, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		testproc.Unable(t, "no System V shared memory here: "+err.Error())
	}
	for line := range strings.Lines(string(data)) {
		// key shmid perms size cpid …
		f := strings.Fields(line)
		var key int
		if n, _ := fmt.Sscan(f[0], &key); n == 1 && key != 0 && f[4] == fmt.Sprint(creator) {
			ids = append(ids, f[1])
		}
	}
	return ids
}

func TestSweepRemovesOrphans(t *testing.T) {
	for _, args := range [][]string{nil, {"attach"}} {
		t.Run(strings.Join(args, ""), func(t *testing.T) {
			leak.Check(t)
			Sweep()
			child := testproc.Start(t, "sysv-half-made", args...)
			id := child.ReadLine()
			if Sweep(); !slices.Contains(segmentsOf(t, child.PID()), id) {
				t.Fatal("the sweep removed a segment whose creator lives")
			}
			child.Kill()
			if !slices.Contains(segmentsOf(t, child.PID()), id) {
				t.Fatal("the segment is gone with its creator: there is nothing to test")
			}
			Sweep()
			if slices.Contains(segmentsOf(t, child.PID()), id) {
				t.Error("the orphan is still there")
			}
		})
	}
}

// Whenever the creator of segments is killed, a sweep leaves nothing of it.
func TestKilledCreatorLeavesNothing(t *testing.T) {
	leak.Check(t)
	for range 20 {
		child := testproc.Start(t, "sysv-shakes")
		child.ReadLine()
		child.Kill()
		Sweep()
		if left := segmentsOf(t, child.PID()); len(left) > 0 {
			t.Fatalf("segments %v are left", left)
		}
	}
}

func TestSegmentIsRemovedAtOnce(t *testing.T) {
	leak.Check(t)
	seg, id, err := createSysV(sysvCaps)
	if err != nil {
		testproc.Unable(t, err.Error())
	}
	if ids := segmentsOf(t, os.Getpid()); len(ids) > 0 {
		t.Errorf("segments %v can be found by their key", ids)
	}
	self := PeerCred{UID: uint32(os.Geteuid())}
	peer, err := openSysV(id, sysvCaps, self)
	if err != nil {
		t.Fatal(err)
	}
	peer.mem[offData] = 42
	if seg.mem[offData] != 42 {
		t.Error("the two mappings are not of one segment")
	}
	for _, s := range []*Segment{peer, seg} {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := openSysV(id, sysvCaps, self); err == nil || !strings.Contains(err.Error(), "IPC namespace") {
		t.Errorf("attaching it after its last user left: %v", err)
	}
}

func TestOrphan(t *testing.T) {
	const dead = 1 << 30 // beyond any process id
	now := time.Unix(2_000_000, 0)
	alive := os.Getpid()
	line := func(key, attached, uid, creator int, age time.Duration) string {
		return fmt.Sprintf("%d 7 600 12288 %d 0 %d %d 0 %d 0 0 0 %d 0 0", key, creator, attached, uid, uid, now.Add(-age).Unix())
	}
	for _, c := range []struct {
		name, line string
		want       bool
	}{
		{"its creator is gone", line(sysvKey|5, 0, 10, dead, 0), true},
		{"its creator can't be seen, and it is old", line(sysvKey|5, 0, 10, 0, time.Hour), true},
		{"its creator can't be seen, and it is young", line(sysvKey|5, 0, 10, 0, time.Second), false},
		{"its creator lives", line(sysvKey|5, 0, 10, alive, time.Second), false},
		{"somebody with its creator's number lives", line(sysvKey|5, 0, 10, alive, time.Hour), true},
		{"somebody is attached", line(sysvKey|5, 1, 10, dead, time.Hour), false},
		{"another user's", line(sysvKey|5, 0, 11, dead, time.Hour), false},
		{"another program's key", line(77, 0, 10, dead, time.Hour), false},
		{"no key", line(0, 0, 10, dead, time.Hour), false},
		{"the heading", "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime", false},
		{"nothing", "", false},
	} {
		if id, got := orphan(c.line, 10, now); got != c.want || got && id != 7 {
			t.Errorf("%s: %v, %d", c.name, got, id)
		}
	}
}

// set is for a field whose type differs between platforms.
func set[T uint32 | uint64](field *T, n int) { *field = T(n) }

// A segment that isn't what was offered is turned down, and not believed to be a lie.
func TestOtherSegments(t *testing.T) {
	uid := uint32(os.Geteuid())
	good := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: uid, Cuid: uid, Mode: 0o1600}}
	set(&good.Segsz, sysvCaps.segmentSize())
	peer := PeerCred{UID: uid}
	if err := checkSysV(&good, sysvCaps, peer); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*unix.SysvShmDesc){
		"not removed": func(d *unix.SysvShmDesc) { d.Perm.Mode = 0o600 },
		"has a key":   func(d *unix.SysvShmDesc) { d.Perm.Key = sysvKey },
		"open to all": func(d *unix.SysvShmDesc) { d.Perm.Mode = 0o1666 },
		"other owner": func(d *unix.SysvShmDesc) { d.Perm.Uid++ },
		"other maker": func(d *unix.SysvShmDesc) { d.Perm.Cuid++ },
		"too short":   func(d *unix.SysvShmDesc) { d.Segsz-- },
		"too long":    func(d *unix.SysvShmDesc) { d.Segsz++ },
	} {
		st := good
		change(&st)
		if err := checkSysV(&st, sysvCaps, peer); !errors.Is(err, errOtherSegment) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Another segment of ours, as another IPC namespace may have under the same id, is told
// from the right one by its nonce.
func TestNonce(t *testing.T) {
	leak.Check(t)
	for _, b := range []Backing{MemFD, SysV} {
		off := offer{version: Version, backing: b, caps: sysvCaps}
		seg, fd, err := createSegment(&off)
		if err != nil {
			t.Fatal(err)
		}
		in := &fdReader{fd: fd, has: fd >= 0}
		off.nonce++
		if _, err := openSegment(off, in, PeerCred{UID: uint32(os.Geteuid())}); !errors.Is(err, errOtherSegment) {
			t.Errorf("%v: %v", b, err)
		}
		if err := seg.close(); err != nil {
			t.Error(err)
		}
	}
}

// hugeSegment is a segment of huge pages, which has all that we ask of one but ordinary
// pages.
func hugeSegment(t *testing.T, caps capacities) (id int) {
	t.Helper()
	const knob = "/proc/sys/vm/nr_hugepages"
	before, err := os.ReadFile(knob)
	if err != nil {
		testproc.Unable(t, "no huge pages: "+err.Error())
	}
	if err := os.WriteFile(knob, []byte("2"), 0); err != nil {
		testproc.Unable(t, "can't reserve huge pages: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.WriteFile(knob, before, 0); err != nil {
			t.Error(err)
		}
	})
	const hugetlb = 0o4000 // SHM_HUGETLB
	id, err = unix.SysvShmGet(unix.IPC_PRIVATE, caps.segmentSize(), unix.IPC_CREAT|hugetlb|sysvMode)
	if err != nil {
		testproc.Unable(t, "no segment of huge pages: "+err.Error())
	}
	return id
}

func TestHugePagesAreTurnedDown(t *testing.T) {
	leak.Check(t)
	id := hugeSegment(t, sysvCaps)
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.SysvShmDetach(mem)
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
		t.Fatal(err)
	}
	writeHeader(mem, sysvCaps)
	seg, err := openSysV(id, sysvCaps, PeerCred{UID: uint32(os.Geteuid())})
	if seg != nil || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "ordinary pages") {
		t.Errorf("%v, %v", seg, err)
	}
}

func TestProtocolKeys(t *testing.T) {
	text, err := os.ReadFile("PROTOCOL.md")
	if want := fmt.Sprintf("mode 0%o with a key from %#x to %#x", sysvMode, sysvKey, sysvKey|0xffff); err != nil || !strings.Contains(string(text), want) {
		t.Errorf("PROTOCOL.md lacks %q: %v", want, err)
	}
}
