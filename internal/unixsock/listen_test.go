package unixsock_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// staleSocket leaves a socket file at path as a killed server does.
func staleSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T, addr string) *unixsock.Listener {
	t.Helper()
	ln, err := unixsock.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func canConnect(addr string) bool {
	c, err := net.Dial("unix", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestListenAndClose(t *testing.T) {
	for _, addr := range []string{filepath.Join(t.TempDir(), "s"), fmt.Sprintf("@carp-unixsock-%d", os.Getpid())} {
		t.Run(addr[:1], func(t *testing.T) {
			leak.Check(t)
			if err := unixsock.Check(addr); err != nil {
				skipHere(t, err)
			}
			ln := listen(t, addr)
			if got := ln.Addr().String(); got != addr {
				t.Errorf("Addr = %q, want %q", got, addr)
			}
			if !canConnect(addr) {
				t.Error("cannot connect")
			}
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
			if canConnect(addr) {
				t.Error("can connect after Close")
			}
			if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Close = %v", err)
			}
			if !unixsock.IsAbstract(addr) {
				wantFiles(t, filepath.Dir(addr))
			}
		})
	}
}

// wantFiles fails unless dir holds exactly the named files: no socket and no
// lock is left behind.
func wantFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("files in the directory: %v, want %v", got, names)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	staleSocket(t, path)
	listen(t, path)
	if !canConnect(path) {
		t.Error("cannot connect")
	}
	wantFiles(t, filepath.Dir(path), "s")
}

// A program that doesn't take our lock may be between bind and listen, when a
// connect is refused too.
func TestYoungSocketIsGivenTime(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	staleSocket(t, path)
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	if age := time.Since(fi.ModTime()); age < unixsock.Settle {
		t.Errorf("a socket file was removed at the age of %v, want at least %v", age, unixsock.Settle)
	}
}

func TestYoungSocketWaitsUnderContext(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	staleSocket(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), unixsock.Settle/10)
	defer cancel()
	if _, err := unixsock.Listen(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Listen = %v, want a deadline error", err)
	}
	wantFiles(t, filepath.Dir(path), "s")
}

func TestLiveSocketIsInUse(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path)
	_, err := unixsock.Listen(t.Context(), path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("second Listen = %v, want EADDRINUSE", err)
	}
	for _, want := range []string{path, fmt.Sprintf("process %d", os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if !canConnect(path) {
		t.Error("the first listener lost its file")
	}
}

func TestOtherFilesStay(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	regular := filepath.Join(dir, "regular")
	if err := os.WriteFile(regular, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	staleSocket(t, socket)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(socket, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{regular, link, dir} {
		_, err := unixsock.Listen(t.Context(), path)
		if !errors.Is(err, unixsock.ErrNotSocket) || !strings.Contains(err.Error(), path) {
			t.Errorf("Listen(%s) = %v, want ErrNotSocket with the path", path, err)
		}
	}
	wantFiles(t, dir, "link", "regular", "socket")
	if got, _ := os.ReadFile(regular); string(got) != "precious" {
		t.Errorf("the regular file now holds %q", got)
	}
}

// A datagram socket refuses a stream connect with another error than a dead one.
func TestDatagramSocketStays(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := unixsock.Listen(t.Context(), path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Listen = %v, want EADDRINUSE", err)
	}
	wantFiles(t, filepath.Dir(path), "s")
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := unixsock.Listen(t.Context(), filepath.Join(dir, "s"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Listen = %v, want ErrNotExist with the directory", err)
	}
}

// A file that happens to have the name of the lock is not ours to remove.
func TestForeignLockFileStays(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	name := filepath.Join(dir, ".s.carp-lock")
	if err := os.WriteFile(name, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, filepath.Join(dir, "s")).Close()
	wantFiles(t, dir, ".s.carp-lock")
}

// Close must not take away the file of a server that came after, by whatever
// way that server got the path.
func TestCloseLeavesForeignFile(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	first.Close()
	if !canConnect(path) {
		t.Error("the first listener's Close removed the second's file")
	}
}

func TestCloseAfterChdir(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	t.Chdir(dir)
	ln := listen(t, "relative")
	t.Chdir(os.TempDir())
	ln.Close()
	wantFiles(t, dir)
}

// Many servers start on one stale path: one gets it, and stays reachable.
func TestOneWinnerOnAStalePath(t *testing.T) {
	leak.Check(t)
	const servers, rounds = 8, 10
	dir := t.TempDir()
	for round := range rounds {
		path := filepath.Join(dir, fmt.Sprint(round))
		staleSocket(t, path)
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			wins []*unixsock.Listener
		)
		for range servers {
			wg.Go(func() {
				ln, err := unixsock.Listen(t.Context(), path)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					wins = append(wins, ln)
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("Listen = %v, want EADDRINUSE", err)
				}
			})
		}
		wg.Wait()
		if len(wins) != 1 {
			t.Fatalf("%d servers listen on one path", len(wins))
		}
		if !canConnect(path) {
			t.Error("the winner is not reachable")
		}
		wins[0].Close()
	}
	wantFiles(t, dir)
}
