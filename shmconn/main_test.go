package shmconn_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

// roles are the child processes of this package's tests.
var roles = map[string]testproc.Role{}

// role adds one. Files do so beside it: var _ = role("name", function).
func role(name string, f testproc.Role) struct{} {
	roles[name] = f
	return struct{}{}
}

func TestMain(m *testing.M) { testproc.Main(m, roles) }

// patience bounds waits for what must happen, far beyond what a busy machine takes.
const patience = 60 * time.Second

// patient are the default settings, but for a handshake's time.
var patient = &shmconn.Config{HandshakeTimeout: patience}

// configs are the settings by whose names parents tell their children what to use.
var configs = map[string]*shmconn.Config{
	"default": patient,
	"small":   {RingSize: 4 << 10, MaxRingSize: 4 << 10, HandshakeTimeout: patience},
	"latency": {Wait: shmconn.LatencyFirst, HandshakeTimeout: patience},
	"sysv":    {Backings: []shmconn.Backing{shmconn.SysV}, HandshakeTimeout: patience},
}

// sockPath is an address in a folder of its own, which is gone after the test.
func sockPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "s")
}

// listen listens. No settings are the patient ones, here and in dial.
func listen(tb testing.TB, addr string, cfg *shmconn.Config) *shmconn.Listener {
	tb.Helper()
	if cfg == nil {
		cfg = patient
	}
	l, err := shmconn.Listen(addr, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

func dial(tb testing.TB, addr string, cfg *shmconn.Config) *shmconn.Conn {
	tb.Helper()
	if cfg == nil {
		cfg = patient
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := shmconn.Dial(ctx, addr, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func pipe(tb testing.TB, cfg *shmconn.Config) (c1, c2 *shmconn.Conn) {
	tb.Helper()
	c1, c2, err := shmconn.Pipe(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c1.Close()
		c2.Close()
	})
	return c1, c2
}

// meet dials l and accepts.
func meet(tb testing.TB, l *shmconn.Listener, cfg *shmconn.Config) (dialled, accepted *shmconn.Conn) {
	tb.Helper()
	type outcome struct {
		conn net.Conn
		err  error
	}
	accepting := make(chan outcome, 1)
	go func() {
		c, err := l.Accept()
		accepting <- outcome{c, err}
	}()
	dialled = dial(tb, l.Addr().(shmconn.Addr).Name, cfg)
	o := <-accepting
	if o.err != nil {
		tb.Fatal(o.err)
	}
	tb.Cleanup(func() { o.conn.Close() })
	return dialled, o.conn.(*shmconn.Conn)
}

// ends runs f and fails the test if that hangs. How long it takes is the machine's affair:
// nothing that ends a wait here has a timer of its own that would hide a wake-up that is
// missing.
func ends(tb testing.TB, what string, f func()) {
	tb.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		tb.Fatalf("%s does not end\n%s", what, stacks())
	}
}

// stacks are those of all goroutines.
func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// pattern fills b with bytes that tell their place in a stream.
func pattern(b []byte, at int) {
	for i := range b {
		n := at + i
		b[i] = byte(n) ^ byte(n>>8) ^ byte(n>>16)
	}
}

func checkPattern(b []byte, at int) error {
	want := make([]byte, len(b))
	pattern(want, at)
	for i := range b {
		if b[i] != want[i] {
			return fmt.Errorf("byte %d is %#02x, want %#02x", at+i, b[i], want[i])
		}
	}
	return nil
}
