package shmconn_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var (
	_ = role("victim", victim)
	_ = role("reborn", reborn)
)

// reborn is what a victim becomes by exec.
func reborn(c *testproc.Child) error {
	c.Ready("reborn")
	_, _ = c.In.ReadString('\n')
	return nil
}

// victim connects with its parent, as the dialler or the listener, and then ends in the
// way that it is told to, without closing anything.
func victim(c *testproc.Child) error {
	conn, err := victimConn(c)
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte("last words")); err != nil {
		return err
	}
	c.Ready("connected")
	order, err := c.In.ReadString('\n')
	if err != nil {
		return err
	}
	if order == "exec\n" {
		env := append(os.Environ(), "CARP_TESTPROC_ROLE=reborn")
		return syscall.Exec("/proc/self/exe", []string{"/proc/self/exe"}, env)
	}
	syscall.Exit(0) // os.Exit takes a second under the race detector
	return nil
}

func victimConn(c *testproc.Child) (*shmconn.Conn, error) {
	cfg := configs[c.Args[2]]
	if c.Args[0] == "dialler" {
		return shmconn.Dial(context.Background(), c.Args[1], cfg)
	}
	l, err := shmconn.Listen(c.Args[1], cfg)
	if err != nil {
		return nil, err
	}
	c.Ready("listening")
	conn, err := l.Accept()
	if err != nil {
		return nil, err
	}
	return conn.(*shmconn.Conn), nil
}

// withVictim starts a victim in a role and connects with it.
func withVictim(t *testing.T, role, config string) (*testproc.Proc, *shmconn.Conn) {
	t.Helper()
	addr := sockPath(t)
	if role == "listener" {
		child := testproc.Start(t, "victim", role, addr, config)
		child.ReadLine()
		c := dial(t, addr, configs[config])
		child.ReadLine()
		return child, c
	}
	l := listen(t, addr, configs[config])
	child := testproc.Start(t, "victim", role, addr, config)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	child.ReadLine()
	return child, conn.(*shmconn.Conn)
}

// fates are the ways of a process to end. Each gives the moment from which on its peer may
// notice.
var fates = map[string]func(*testproc.Proc) time.Time{
	"kill": func(p *testproc.Proc) time.Time {
		start := time.Now()
		p.Kill()
		return start
	},
	"stop, then kill": func(p *testproc.Proc) time.Time {
		p.Stop()
		start := time.Now()
		p.Kill()
		return start
	},
	"exec": func(p *testproc.Proc) time.Time {
		start := time.Now()
		p.Send("exec")
		p.ReadLine()
		return start
	},
	"exit": func(p *testproc.Proc) time.Time {
		start := time.Now()
		p.Send("exit")
		return start
	},
}

// noticed is how soon a peer's end must end what waits. The aim is 100 ms, and the tests
// tell what it was. When a process is killed and when this one runs is up to a busy machine,
// so what is judged leaves room for that: no timer ends a Read or Write of a connection
// without a deadline, so if the end were missed, they would wait for ever.
const noticed = 10 * time.Second

// However a process ends, the Read and the Write of its peer that wait fail at once, and
// what it wrote before is read before.
func TestPeerProcessEnds(t *testing.T) {
	for _, role := range []string{"dialler", "listener"} {
		for name, end := range fates {
			for _, config := range []string{"default", "latency", "sysv"} {
				t.Run(fmt.Sprint(role, "/", name, "/", config), func(t *testing.T) {
					took := endPeer(t, role, config, end)
					t.Logf("noticed after %v", took)
					if took > noticed {
						t.Errorf("want %v at most", noticed)
					}
				})
			}
		}
	}
}

func endPeer(t *testing.T, role, config string, end func(*testproc.Proc) time.Time) time.Duration {
	t.Helper()
	leak.Check(t)
	child, c := withVictim(t, role, config)
	defer c.Close()
	words := make([]byte, len("last words"))
	if _, err := io.ReadFull(c, words); err != nil || string(words) != "last words" {
		t.Fatalf("read %q, %v", words, err)
	}
	type failure struct {
		what string
		err  error
		at   time.Time
	}
	failures := make(chan failure, 2)
	go func() {
		err := read(c)
		failures <- failure{"Read", err, time.Now()}
	}()
	// Nobody reads at the other end: this fills the ring and then waits.
	if n, err := c.Write(make([]byte, c.Info().WriteRing)); n != c.Info().WriteRing || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	go func() {
		err := write(c)
		failures <- failure{"Write", err, time.Now()}
	}()
	start := end(child)
	var took time.Duration
	for range 2 {
		select {
		case f := <-failures:
			wantErr(t, f.what, f.err, syscall.ECONNRESET)
			took = max(took, f.at.Sub(start))
		case <-time.After(patience):
			t.Fatalf("a Read or Write still waits\n%s", stacks())
		}
	}
	wantErr(t, "later Read", read(c), syscall.ECONNRESET)
	wantErr(t, "later Write", write(c), syscall.ECONNRESET)
	child.Kill()
	return took
}

// Bytes that a process wrote before it was killed are read before the error.
func TestLastWordsOfAKilledProcess(t *testing.T) {
	leak.Check(t)
	child, c := withVictim(t, "dialler", "default")
	child.Kill()
	got, err := io.ReadAll(c)
	if string(got) != "last words" {
		t.Errorf("read %q", got)
	}
	wantErr(t, "Read", err, syscall.ECONNRESET)
}

// A killed listener leaves its socket's file, and nothing else; the next one replaces it.
func TestKilledListener(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	child := testproc.Start(t, "echo", addr, "default")
	child.ReadLine()
	child.Kill()
	entries, err := os.ReadDir(filepath.Dir(addr))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the socket's folder, %v", len(entries), err)
	}
	meet(t, listen(t, addr, nil), nil)
}
