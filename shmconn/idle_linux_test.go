package shmconn_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
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
			rings := c.Info().ReadRing + c.Info().WriteRing
			circle := func() {
				done := make(chan error)
				go func() { done <- send(c, rings, 64<<10) }()
				if err := receive(c, rings, 64<<10); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			circle()
			busy := sharedMemory(t, os.Getpid()) - before
			if busy < rings*9/10 {
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
