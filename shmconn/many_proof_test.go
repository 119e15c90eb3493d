//go:build linux

package shmconn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var _ = role("many", manyRole)

// manyRole echoes on all connections, and tells what it uses for each line it reads.
func manyRole(c *testproc.Child) error {
	lis, err := shmconn.Listen(c.Args[0], patient)
	if err != nil {
		return err
	}
	defer lis.Close()
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	c.Ready("ready")
	for {
		if _, err := c.In.ReadString('\n'); err != nil {
			return nil //nolint:nilerr // the parent wants us to end
		}
		u, err := usageNow()
		if err != nil {
			return err
		}
		c.Ready("%d %d %d", u.cpu, u.threads, u.memory)
	}
}

// usage is what a process uses.
type usage struct {
	cpu     time.Duration
	threads int
	memory  int // resident KiB, with the shared memory, which both processes count
}

func usageNow() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, err
	}
	u := usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano())}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return usage{}, err
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &u.memory)
		_, _ = fmt.Sscanf(line, "Threads: %d", &u.threads)
	}
	return u, nil
}

// both are the usages of this process and of the child.
func both(t *testing.T, child *testproc.Proc) [2]usage {
	t.Helper()
	var u [2]usage
	child.Send("usage")
	if _, err := fmt.Sscan(child.ReadLine(), &u[1].cpu, &u[1].threads, &u[1].memory); err != nil {
		t.Fatal(err)
	}
	var err error
	if u[0], err = usageNow(); err != nil {
		t.Fatal(err)
	}
	return u
}

// The bounds for connections that do nothing: of CPU time, and of threads.
const (
	manyConns   = 1000
	idleWatch   = 5 * time.Second
	idleCPU     = 20 * time.Millisecond // in that time
	manyThreads = 30
)

// idleMost is the bound of CPU time in another time.
func idleMost(watch time.Duration) time.Duration {
	return time.Duration(float64(idleCPU) * watch.Seconds() / idleWatch.Seconds())
}

// TestManyConnections has a thousand connections that say something once, then nothing, with
// a Read waiting at each end, and then all talk at a time.
func TestManyConnections(t *testing.T) {
	watch := time.Second
	if os.Getenv("CARP_SOAK") == "1" {
		watch = idleWatch
	}
	addr := sockPath(t)
	leak.Check(t)
	child := testproc.Start(t, "many", addr)
	child.ReadLine()
	before := both(t, child)

	conns := make([]*talker, manyConns)
	for i := range conns {
		conns[i] = newTalker(dial(t, addr, nil), i)
		if err := conns[i].say(1); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, c := range conns {
			c.conn.Close()
		}
	}()
	for _, c := range conns {
		go c.listen()
	}
	used := restful(t, child, watch)
	for i, name := range []string{"dialler", "listener"} {
		t.Logf("%s: %v of CPU in %v, %d threads, %d KiB for each connection", name, used[i].cpu, watch, used[i].threads,
			(used[i].memory-before[i].memory)/manyConns)
		if most := idleMost(watch); used[i].cpu > most {
			t.Errorf("%s: %v of CPU in %v, want at most %v", name, used[i].cpu, watch, most)
		}
		if used[i].threads >= manyThreads {
			t.Errorf("%s: %d threads, want less than %d", name, used[i].threads, manyThreads)
		}
	}
	talkAll(t, conns)
}

// restful watches both processes until neither uses more than it may, which takes a moment
// after the last byte: collectors run, timers look whether memory can be given back.
// It tells what they used in the last time watched.
func restful(t *testing.T, child *testproc.Proc, watch time.Duration) [2]usage {
	t.Helper()
	var used [2]usage
	for start := time.Now(); time.Since(start) < patience; {
		before := both(t, child)
		<-time.After(watch)
		used = both(t, child)
		for i := range used {
			used[i].cpu -= before[i].cpu
		}
		if most := idleMost(watch); used[0].cpu <= most && used[1].cpu <= most {
			break
		}
	}
	return used
}

// talkAll has all connections talk at a time.
func talkAll(t *testing.T, conns []*talker) {
	t.Helper()
	const times = 50
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(conns))
	for i, c := range conns {
		wg.Go(func() { errs[i] = c.resume(times) })
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	t.Logf("%d connections, %d echoes each, in %v: %.0f a second", len(conns), times, took.Round(time.Millisecond),
		float64(times*len(conns))/took.Seconds())
}

// talker sends messages over a connection and compares the echoes.
type talker struct {
	conn      net.Conn
	sent, got []byte
	waiting   chan error // from the Read that waits while the connection is idle
}

func newTalker(conn net.Conn, i int) *talker {
	c := &talker{conn: conn, sent: make([]byte, 1000), got: make([]byte, 1000), waiting: make(chan error, 1)}
	pattern(c.sent, i)
	return c
}

func (c *talker) say(times int) error {
	for range times {
		c.sent[0]++
		if _, err := c.conn.Write(c.sent); err != nil {
			return err
		}
		if err := c.hear(); err != nil {
			return err
		}
	}
	return nil
}

func (c *talker) hear() error {
	if _, err := io.ReadFull(c.conn, c.got); err != nil {
		return err
	}
	if !bytes.Equal(c.sent, c.got) {
		return errors.New("the echo differs")
	}
	return nil
}

// listen waits for an echo that comes only when resume has sent something.
func (c *talker) listen() { c.waiting <- c.hear() }

func (c *talker) resume(times int) error {
	if _, err := c.conn.Write(c.sent); err != nil {
		return err
	}
	if err := <-c.waiting; err != nil {
		return err
	}
	return c.say(times - 1)
}
