package dialer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

func shmAddr(name string) net.Addr { return shmconn.Addr{Name: name} }

var serial atomic.Int64

// targets returns one fresh target of each kind that this system has, by name.
func targets(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	name := fmt.Sprintf("carp-dialer-%d-%d", os.Getpid(), serial.Add(1))
	m := map[string]string{
		"unix": "unix://" + filepath.Join(dir, "u"),
		"tcp":  "tcp://127.0.0.1:0",
	}
	if runtime.GOOS == "linux" {
		m["shm"] = "shm://" + filepath.Join(dir, "s")
		m["unix-abstract"] = "unix-abstract:" + name
		m["shm-abstract"] = "shm-abstract:" + name + "-shm"
	}
	return m
}

// forEachTarget runs fn with a listener on each kind of target.
func forEachTarget(t *testing.T, fn func(t *testing.T, lis net.Listener)) {
	t.Helper()
	for name, target := range targets(t) {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			fn(t, listen(t, target))
		})
	}
}

func listen(t *testing.T, target string) net.Listener {
	t.Helper()
	lis, err := dialer.Listen(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}

// connect returns the two ends of a connection to lis.
func connect(t *testing.T, lis net.Listener) (client, server net.Conn) {
	t.Helper()
	client, server, err := dialAccept(lis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func dialAccept(lis net.Listener) (client, server net.Conn, err error) {
	type accepted struct {
		conn net.Conn
		err  error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := lis.Accept()
		ch <- accepted{c, err}
	}()
	client, err = dialer.Dial(context.Background(), dialer.TargetOf(lis.Addr()))
	if err != nil {
		lis.Close()
		<-ch
		return nil, nil, err
	}
	a := <-ch
	return client, a.conn, a.err
}

func TestConn(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, c2, err = dialAccept(lis)
			if err != nil {
				return nil, nil, nil, err
			}
			return c1, c2, func() { c1.Close(); c2.Close() }, nil
		})
	})
}

func TestListenerClose(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		target := dialer.TargetOf(lis.Addr())
		done := make(chan error, 1)
		go func() {
			_, err := lis.Accept()
			done <- err
		}()
		lis.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, want net.ErrClosed", err)
		}
		_, err := dialer.Dial(t.Context(), target)
		if err == nil || !strings.Contains(err.Error(), target) {
			t.Errorf("Dial after Close = %v, want an error that names %s", err, target)
		}
		if path, ok := strings.CutPrefix(target, "unix://"); ok {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket file is still there (%v)", err)
			}
		}
	})
}

// The error of each address that can't be used names the target, is of our type,
// and says what happened.
func TestBadAddresses(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	regular := filepath.Join(dir, "regular")
	if err := os.WriteFile(regular, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "stale")
	staleSocket(t, stale)
	live := filepath.Join(dir, "live")
	listen(t, "unix://"+live)
	refusing := dialer.TargetOf(closedTCP(t))

	dial := func(target string) error {
		c, err := dialer.Dial(t.Context(), target)
		if err == nil {
			c.Close()
		}
		return err
	}
	listen := func(target string) error {
		l, err := dialer.Listen(t.Context(), target)
		if err == nil {
			l.Close()
		}
		return err
	}
	tests := []struct {
		name   string
		op     string
		do     func(target string) error
		target string
		cause  error
		says   string
	}{
		{"unknown scheme", "parse", dial, "carrier-pigeon:coo", dialer.ErrUnknownScheme, "carrier-pigeon"},
		{"path too long", "parse", listen, "unix:///" + strings.Repeat("x", 200), dialer.ErrTooLong, "limit is"},
		{"port 0", "dial", dial, "tcp://127.0.0.1:0", dialer.ErrBadTarget, "listening only"},
		{"no listener, no file", "dial", dial, "unix://" + filepath.Join(dir, "none"), fs.ErrNotExist, "has the server started?"},
		{"no listener, stale file", "dial", dial, "unix://" + stale, syscall.ECONNREFUSED, "nobody listens"},
		{"no listener, tcp", "dial", dial, refusing, syscall.ECONNREFUSED, "refused"},
		{"regular file, dial", "dial", dial, "unix://" + regular, syscall.ECONNREFUSED, "not a socket"},
		{"regular file, listen", "listen", listen, "unix://" + regular, dialer.ErrNotSocket, "left alone"},
		{"in use", "listen", listen, "unix://" + live, syscall.EADDRINUSE, "already listening"},
		{"no directory", "listen", listen, "unix://" + filepath.Join(dir, "no", "x"), fs.ErrNotExist, filepath.Join(dir, "no")},
	}
	if runtime.GOOS == "linux" {
		more := tests[:0:0]
		for _, tt := range tests {
			if strings.HasPrefix(tt.target, "unix:") {
				tt.name, tt.target = "shm: "+tt.name, "shm"+strings.TrimPrefix(tt.target, "unix")
				more = append(more, tt)
			}
		}
		tests = append(tests, more...)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do(tt.target)
			if !errors.Is(err, tt.cause) {
				t.Fatalf("error %v, want %v", err, tt.cause)
			}
			var typed *dialer.Error
			if !errors.As(err, &typed) || typed.Op != tt.op || typed.Target != tt.target {
				t.Errorf("error %#v, want an *Error of %s with the target", err, tt.op)
			}
			if !strings.Contains(err.Error(), tt.target) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q lacks the target or %q", err, tt.says)
			}
		})
	}
	if got, _ := os.ReadFile(regular); string(got) != "precious" {
		t.Errorf("the regular file now holds %q", got)
	}
	for _, target := range []string{"unix://" + stale} {
		if err := listen(target); err != nil {
			t.Errorf("a stale socket file is in the way: %v", err)
		}
	}
}

// staleSocket leaves a socket file as a killed server does.
func staleSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

// closedTCP returns an address at which nobody listens (any more).
func closedTCP(t *testing.T) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr()
}

func TestErrorIsNetError(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lis := listen(t, targets(t)["unix"])
	_, err := dialer.Dial(ctx, dialer.TargetOf(lis.Addr()))
	var ne net.Error
	if !errors.As(err, &ne) || ne.Timeout() {
		t.Errorf("Dial = %#v, want a net.Error that is no timeout", err)
	}
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("Dial = %#v, want a *net.OpError below", err)
	}
}
