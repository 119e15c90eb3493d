//go:build linux

package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var _ = role("pump", pumpRole)

// pumped is how many connections a doomed process has.
const pumped = 4

// pumpRole connects with its parent, as dialler or listener, and keeps all connections
// busy until it is killed.
func pumpRole(c *testproc.Child) error {
	cfg := configs[c.Args[2]]
	var lis *shmconn.Listener
	if c.Args[0] == "listener" {
		var err error
		if lis, err = shmconn.Listen(c.Args[1], cfg); err != nil {
			return err
		}
	}
	c.Ready("started")
	failed := make(chan error, pumped)
	for range pumped {
		var conn net.Conn
		var err error
		if lis != nil {
			conn, err = lis.Accept()
		} else {
			conn, err = shmconn.Dial(context.Background(), c.Args[1], cfg)
		}
		if err != nil {
			return err
		}
		go func() { failed <- newPump(conn, 1).run() }()
	}
	return <-failed
}

// pump writes a pattern to a connection and reads the same from it, both as fast as it
// can, in pieces of any size.
type pump struct {
	conn net.Conn
	seed uint64

	ended [2]time.Time // of reading and of writing
}

func newPump(conn net.Conn, seed uint64) *pump { return &pump{conn: conn, seed: seed} }

// run returns when both directions failed, with an error if one of them should not have.
func (p *pump) run() error {
	var wg sync.WaitGroup
	var errs [2]error
	for i, way := range []func(*rand.Rand) error{p.read, p.write} {
		wg.Go(func() {
			errs[i] = way(rand.New(rand.NewPCG(p.seed, uint64(i))))
			p.ended[i] = time.Now()
		})
	}
	wg.Wait()
	p.conn.Close()
	return errors.Join(errs[0], errs[1])
}

func (p *pump) read(rng *rand.Rand) error {
	buf := make([]byte, 96<<10)
	for at := 0; ; {
		n, err := p.conn.Read(buf[:1+rng.IntN(len(buf))])
		if bad := checkPattern(buf[:n], at); bad != nil {
			return bad
		}
		at += n
		if err != nil {
			return lostPeer("Read", err)
		}
	}
}

func (p *pump) write(rng *rand.Rand) error {
	buf := make([]byte, 96<<10)
	for at := 0; ; {
		n := 1 + rng.IntN(len(buf))
		pattern(buf[:n], at)
		at += n
		if _, err := p.conn.Write(buf[:n]); err != nil {
			return lostPeer("Write", err)
		}
	}
}

// lostPeer is nil if err is what the end of the peer's process has to bring about.
func lostPeer(op string, err error) error {
	if errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("%s: %w, want ECONNRESET", op, err)
}

// TestCrashes kills a process with traffic in flight, over and over, at random moments
// and in both roles, also in the midst of handshakes. Its peer's Reads and Writes
// fail at once and nothing is left behind.
func TestCrashes(t *testing.T) {
	times := 20
	if os.Getenv("CARP_SOAK") == "1" {
		times = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	leak.Check(t)
	killed := map[string]bool{}
	var took, late []time.Duration
	conns := 0
	for i := range times {
		c := crash{
			t: t, rng: rng,
			role:   []string{"dialler", "listener"}[i%2],
			config: []string{"default", "small", "latency", "sysv"}[i/2%4],
		}
		c.run()
		conns += len(c.pumps)
		killed[c.pid] = true
		late = append(late, c.late())
		took = append(took, c.took())
	}
	slices.Sort(took)
	slices.Sort(late)
	if got := late[len(late)-1]; got > noticed {
		t.Errorf("a Read or Write failed %v after the peer's end, want %v", got, noticed)
	}
	t.Logf("%d kills, %d connections; the last Read or Write failed %v after the kill and %v after the process had ended (medians), at most %v",
		times, conns, took[len(took)/2], late[len(late)/2], took[len(took)-1])
	if conns < times {
		t.Errorf("only %d connections: the kills came too early", conns)
	}
	// A process that is killed between making a System V segment and marking it for
	// removal leaves it to the next Listen.
	listen(t, sockPath(t), configs["sysv"]).Close()
	for pid, id := range segmentsByCreator(t) {
		if killed[pid] {
			t.Errorf("a killed process left System V segment %s", id)
		}
	}
}

// crash is one kill.
type crash struct {
	t            *testing.T
	rng          *rand.Rand
	role, config string

	pumps          []*pump
	pid            string
	killed, reaped time.Time
}

func (c *crash) run() {
	addr := sockPath(c.t)
	conns := make(chan net.Conn)
	var child *testproc.Proc
	if c.role == "listener" {
		child = testproc.Start(c.t, "pump", c.role, addr, c.config)
		child.ReadLine()
		go c.dialAll(addr, conns)
	} else {
		lis := listen(c.t, addr, configs[c.config])
		defer lis.Close()
		child = testproc.Start(c.t, "pump", c.role, addr, c.config)
		child.ReadLine()
		go acceptAll(lis, conns)
		defer func() {
			lis.Close()
			for conn := range conns {
				conn.Close()
			}
		}()
	}
	c.pid = strconv.Itoa(child.PID())
	ended := make(chan error)
	running := 0
	fate := time.After(time.Duration(c.rng.IntN(40)) * time.Millisecond)
	incoming := conns
	for alive := true; alive; {
		select {
		case conn, ok := <-incoming:
			if !ok {
				incoming = nil // all are there
				continue
			}
			p := newPump(conn, c.rng.Uint64())
			c.pumps = append(c.pumps, p)
			running++
			go func() { ended <- p.run() }()
		case err := <-ended:
			c.t.Fatalf("a connection ended before the kill: %v", err)
		case <-fate:
			alive = false
		}
	}
	if c.rng.IntN(4) == 0 {
		child.Signal(syscall.SIGSTOP)
	}
	c.killed = time.Now()
	child.Kill()
	c.reaped = time.Now()
	for range running {
		select {
		case err := <-ended:
			if err != nil {
				c.t.Error(err)
			}
		case <-time.After(patience):
			c.t.Fatalf("a Read or Write still waits\n%s", stacks())
		}
	}
	if c.role == "listener" {
		for conn := range conns { // those that were made meanwhile
			conn.Close()
		}
	}
}

// dialAll gives the connections that it can make, and ends when there are no more.
func (c *crash) dialAll(addr string, conns chan<- net.Conn) {
	defer close(conns)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range pumped {
		conn, err := shmconn.Dial(ctx, addr, configs[c.config])
		if err != nil {
			return
		}
		conns <- conn
	}
}

func acceptAll(lis net.Listener, conns chan<- net.Conn) {
	defer close(conns)
	for {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		conns <- conn
	}
}

// last is when the last Read or Write failed.
func (c *crash) last() time.Time {
	last := c.killed
	for _, p := range c.pumps {
		for _, at := range p.ended {
			if at.After(last) {
				last = at
			}
		}
	}
	return last
}

// took is the time from the kill, which the kernel may be slow to carry out.
func (c *crash) took() time.Duration { return c.last().Sub(c.killed) }

// late is the time from the end of the process.
func (c *crash) late() time.Duration { return c.last().Sub(c.reaped) }

// segmentsByCreator are the System V segments of the machine.
func segmentsByCreator(t *testing.T) (idByPID map[string]string) {
	t.Helper()
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	idByPID = map[string]string{}
	for line := range strings.Lines(string(table)) {
		// key shmid perms size cpid …
		if f := strings.Fields(line); len(f) > 4 {
			idByPID[f[4]] = f[1]
		}
	}
	return idByPID
}
