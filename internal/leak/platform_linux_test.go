package leak_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
)

func TestDescriptorIsReported(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	expect(t, f.end(), "TestX has left 1 file descriptor", fmt.Sprintf("%d → /dev/null", file.Fd()))
}

// TestDescriptorNumberReused: the number is the same, what it refers to is not.
func TestDescriptorNumberReused(t *testing.T) {
	old, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	if err := unix.Dup3(1, int(old.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	expect(t, f.end(), fmt.Sprintf("file descriptor %d → ", old.Fd()))
}

func TestMappingIsReported(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	fd, err := unix.MemfdCreate("carp-leak-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, 1<<16); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(fd, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	expect(t, f.end(), "TestX has left 1 mapping:", "/memfd:carp-leak-test (deleted) rw-s")
}

// TestSegmentIsReported has a segment that nobody is attached to, which would
// outlive the process, and then attaches to it.
func TestSegmentIsReported(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<16, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			t.Error(err)
		}
	}()
	expect(t, f.end(), "TestX has left 1 System V segment:", fmt.Sprintf("segment %d, 65536 bytes, attached 0 times", id))

	f = newFake(t, "TestY")
	w.Check(f, short)
	mem, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.SysvShmDetach(mem); err != nil {
			t.Error(err)
		}
	}()
	expect(t, f.end(), "TestY has left 1 mapping:", "/SYSV00000000")
}
