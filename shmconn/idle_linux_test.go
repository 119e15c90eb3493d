package shmconn_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for look := time.Tick(10 * time.Millisecond); !ok(); {
		select {
		case <-look:
		case <-deadline:
			t.Fatalf("waited for %v until %s", patience, what)
		}
	}
}

// sharedMemory is how many bytes of shared memory a process has resident.
func sharedMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "RssShmem:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no RssShmem in /proc/self/status")
	return 0
}

// An idle connection gives its memory back, on both sides and however much went through
// it, and is as good as new when it is used again.
func TestIdleConnectionGivesMemoryBack(t *testing.T) {
	for _, backing := range []string{"default", "sysv"} {
		t.Run(backing, func(t *testing.T) {
			leak.Check(t)
			path := sockPath(t)
			child := testproc.Start(t, "echo", path, backing)
			child.ReadLine()
			before := sharedMemory(t, os.Getpid())
			c := dial(t, path, configs[backing])
			rings := 2 * (c.Info().ReadRing + c.Info().WriteRing)
			circle := func() {
				done := make(chan error)
				go func() { done <- send(c, rings, 64<<10) }()
				for shmconn.Unread(c) < c.Info().ReadRing { // until both are full
					if err := c.WaitRead(); err != nil {
						t.Fatal(err)
					}
				}
				if err := receive(c, rings, 64<<10); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			circle()
			busy := sharedMemory(t, os.Getpid()) - before
			if busy < rings/2*9/10 {
				t.Errorf("%d bytes of shared memory in use after %d went through it: nothing to give back?", busy, rings)
			}
			const left = 64 << 10
			for _, pid := range []int{os.Getpid(), child.PID()} {
				eventually(t, "the memory was given back", func() bool { return sharedMemory(t, pid)-before < left })
			}
			t.Logf("%d KiB in use, %d KiB when idle", busy>>10, (sharedMemory(t, os.Getpid())-before)>>10)
			circle()
		})
	}
}

// Memory in which unread bytes lie is not given back.
func TestUnreadBytesStay(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, nil)
	half := a.Info().WriteRing / 2
	if err := send(a, half, half); err != nil {
		t.Fatal(err)
	}
	c, d := pipe(t, nil) // a pair whose memory goes tells when the other's would have
	before := sharedMemory(t, os.Getpid())
	if err := send(c, half, half); err != nil {
		t.Fatal(err)
	}
	if err := receive(d, half, half); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a connection's memory was given back", func() bool { return sharedMemory(t, os.Getpid()) < before+half/2 })
	if err := receive(b, half, half); err != nil {
		t.Error(err)
	}
}

// peerOfForgotten is one end of a connection on whose other end something was written, and
// which nobody has any more.
func peerOfForgotten(t *testing.T) *shmconn.Conn {
	t.Helper()
	a, b, err := shmconn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(a); err != nil {
		t.Fatal(err)
	}
	return b
}

// Config.HugePages advises the kernel about our own mapping, and about no other.
func TestHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		testproc.Unable(t, "a kernel without transparent huge pages")
	}
	leak.Check(t)
	for _, want := range []bool{false, true} {
		c, peer := pipe(t, &shmconn.Config{RingSize: 4 << 20, HugePages: want})
		if got := advisedHuge(t); got != want {
			t.Errorf("HugePages %v: the mapping is advised: %v", want, got)
		}
		c.Close()
		peer.Close()
	}
}

// advisedHuge tells whether a segment of this process is mapped with huge pages advised.
func advisedHuge(t *testing.T) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		switch {
		case strings.Contains(f[0], "-"): // the range of another mapping
			ours = strings.Contains(line, "/memfd:carp-shm")
		case ours && f[0] == "VmFlags:" && slices.Contains(f, "hg"):
			return true
		}
	}
	return false
}

// A connection that is forgotten is closed when it is collected.
func TestForgottenConnection(t *testing.T) {
	leak.Check(t)
	b := peerOfForgotten(t)
	defer b.Close()
	done := make(chan error)
	go func() {
		if err := read(b); err != nil {
			done <- err
			return
		}
		done <- read(b)
	}()
	eventually(t, "the connection was closed", func() bool {
		runtime.GC()
		select {
		case err := <-done:
			wantErr(t, "Read", err, io.EOF)
			return true
		default:
			return false
		}
	})
}
