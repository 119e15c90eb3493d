//go:build linux

package shm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var _ = role("honest", honest)

// honest echoes on every connection.
func honest(c *testproc.Child) error {
	lis, err := shmconn.Listen(c.Args[0], nil)
	if err != nil {
		return err
	}
	c.Ready("ready")
	for {
		conn, err := lis.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// The bounds that hold whatever a peer does.
const (
	stall       = shm.Patience // between two echoes on the honest connection: the attack lasts until they come
	moreHeap    = 64 << 20
	moreRunning = 400 // goroutines
	idleCPU     = 60 * time.Millisecond
	idleTime    = 300 * time.Millisecond
)

// victim is this process: it talks to hostile peers, and to an honest one.
type victim struct {
	t       *testing.T
	until   time.Time
	serving sync.WaitGroup

	conns, corrupt atomic.Int64
	slowest        atomic.Int64 // the longest time between two echoes
}

// TestHostilePeers: a process that does all the harm it can to its connections
// loses them, and nothing else happens.
func TestHostilePeers(t *testing.T) {
	span := time.Second
	if os.Getenv("CARP_SOAK") == "1" {
		span = 30 * time.Second
	}
	t.Run("dial", func(t *testing.T) { testHostile(t, span, (*victim).beDialled) })
	t.Run("listen", func(t *testing.T) { testHostile(t, span, (*victim).dial) })
}

func testHostile(t *testing.T, span time.Duration, meet func(v *victim, dir string, seed string) (stop func())) {
	dir := t.TempDir()
	leak.Check(t)
	v := &victim{t: t, until: time.Now().Add(span)}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)

	path := filepath.Join(dir, "honest")
	testproc.Start(t, "honest", path).ReadLine()
	good, err := shmconn.Dial(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()

	v.bounded(func() {
		stop := meet(v, dir, strconv.FormatInt(seed, 10))
		v.echo(good)
		stop()
		v.serving.Wait() // all ends of all connections learned that they are over
	})
	t.Logf("%d hostile connections, %d of them found corrupt; longest time between two honest echoes %v",
		v.conns.Load(), v.corrupt.Load(), time.Duration(v.slowest.Load()))
	if !v.attacked() {
		t.Error("that was no attack")
	}
	v.idle()
}

// attacked tells that some of the harm was done.
func (v *victim) attacked() bool { return v.conns.Load() >= 3 && v.corrupt.Load() > 0 }

// over tells that the attack has lasted for its span, or longer where a busy machine
// kept it from beginning.
func (v *victim) over(now time.Time) bool {
	return now.After(v.until) && (v.attacked() || now.After(v.until.Add(shm.Patience)))
}

// echo talks on the honest connection until the attack is over. It must never stall.
func (v *victim) echo(conn net.Conn) {
	sent, got := make([]byte, 3000), make([]byte, 3000)
	last := time.Now()
	for i := 0; !v.over(last); i++ {
		sent[i%len(sent)]++
		if err := conn.SetDeadline(last.Add(stall)); err != nil {
			v.t.Fatal(err)
		}
		if _, err := conn.Write(sent); err != nil {
			v.t.Fatalf("honest connection, echo %d: %v", i, err)
		}
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(sent, got) {
			v.t.Fatalf("honest connection, echo %d: %v, equal %v", i, err, bytes.Equal(sent, got))
		}
		now := time.Now()
		v.slowest.Store(max(v.slowest.Load(), int64(now.Sub(last))))
		last = now
	}
}

// beDialled listens, with each way to wait, and starts a hostile dialler.
func (v *victim) beDialled(dir, seed string) (stop func()) {
	args := []string{seed}
	var listeners []net.Listener
	for i, wait := range []shmconn.Wait{shmconn.Balanced, shmconn.LatencyFirst} {
		path := filepath.Join(dir, strconv.Itoa(i))
		lis, err := shmconn.Listen(path, &shmconn.Config{Wait: wait, HandshakeTimeout: time.Second})
		if err != nil {
			v.t.Fatal(err)
		}
		args = append(args, path)
		listeners = append(listeners, lis)
		v.serving.Go(func() { v.accept(lis) })
	}
	child := testproc.Start(v.t, "hostile dialler", args...)
	child.ReadLine()
	return func() {
		child.Kill()
		for _, lis := range listeners {
			lis.Close()
		}
	}
}

func (v *victim) accept(lis net.Listener) {
	for {
		conn, err := lis.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			v.t.Errorf("Accept: %v", err)
			return
		}
		v.serve(conn)
	}
}

// dial starts a hostile listener, and dials it from two goroutines.
func (v *victim) dial(dir, seed string) (stop func()) {
	path := filepath.Join(dir, "hostile")
	child := testproc.Start(v.t, "hostile listener", seed, path)
	child.ReadLine()
	ctx, cancel := context.WithCancel(context.Background())
	for _, wait := range []shmconn.Wait{shmconn.Balanced, shmconn.LatencyFirst} {
		v.serving.Go(func() {
			for ctx.Err() == nil {
				conn, err := shmconn.Dial(ctx, path, &shmconn.Config{Wait: wait})
				if err == nil {
					v.serve(conn).Wait()
				} else if ctx.Err() == nil && !harmless(err) {
					v.t.Errorf("Dial: %v", err)
				}
			}
		})
	}
	return func() {
		cancel()
		child.Kill()
	}
}

// serve reads and writes until the connection ends, which it does when the peer wants
// it to, or was killed.
func (v *victim) serve(conn net.Conn) *sync.WaitGroup {
	v.conns.Add(1)
	var both sync.WaitGroup
	var corrupt atomic.Bool
	use := func(op func([]byte) (int, error)) {
		buf := make([]byte, 2000)
		var err error
		for err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			_ = conn.SetDeadline(time.Now().Add(20 * time.Millisecond))
			_, err = op(buf)
		}
		if !harmless(err) {
			v.t.Errorf("unexpected error: %v", err)
		}
		if errors.Is(err, shm.ErrCorrupt) && !corrupt.Swap(true) {
			v.corrupt.Add(1)
		}
	}
	both.Go(func() { use(conn.Read) })
	both.Go(func() { use(conn.Write) })
	v.serving.Go(func() {
		both.Wait()
		conn.Close()
	})
	return &both
}

// bounded runs f and looks meanwhile that memory and goroutines keep within bounds.
func (v *victim) bounded(f func()) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	heap, running := m.HeapAlloc, runtime.NumGoroutine()
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > heap+moreHeap {
				v.t.Errorf("heap grew from %d to %d bytes", heap, now.HeapAlloc)
			}
			if n := runtime.NumGoroutine(); n > running+moreRunning {
				v.t.Errorf("%d goroutines, %d at first", n, running)
			}
		}
	}()
	f()
	close(done)
	<-watched
}

// idle looks that nothing goes on running when it is all over. The garbage may be collected
// before.
func (v *victim) idle() {
	var used time.Duration
	for end := time.Now().Add(shm.Patience); time.Now().Before(end); {
		before := processCPU(v.t)
		<-time.After(idleTime)
		if used = processCPU(v.t) - before; used <= idleCPU {
			return
		}
	}
	v.t.Errorf("%v of CPU in %v after the end of all hostile connections", used, idleTime)
}

func processCPU(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
