package shmconn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

func TestListenErrors(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	regular, taken := filepath.Join(dir, "regular"), filepath.Join(dir, "taken")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, taken, nil)
	for _, c := range []struct {
		addr string
		want error
		says string
	}{
		{regular, nil, "not a socket"},
		{taken, syscall.EADDRINUSE, fmt.Sprintf("process %d", os.Getpid())},
		{filepath.Join(dir, "missing", "s"), os.ErrNotExist, "missing"},
		{"", nil, "empty"},
	} {
		_, err := shmconn.Listen(c.addr, nil)
		wantOpError(t, err, "listen", c.addr, c.want, c.says)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: addr})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	meet(t, listen(t, addr, nil), nil)
}

func TestAbstractAddress(t *testing.T) {
	leak.Check(t)
	addr := fmt.Sprintf("@carp-shmconn-%d", os.Getpid())
	c, _ := meet(t, listen(t, addr, nil), nil)
	if got := c.RemoteAddr().String(); got != "shm:"+addr {
		t.Errorf("remote address %q", got)
	}
}

func TestListenerClose(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	l := listen(t, addr, nil)
	c, peer := meet(t, l, nil)
	done := make(chan error)
	for range 2 {
		go func() {
			_, err := l.Accept()
			done <- err
		}()
	}
	ends(t, "Close", func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			wantOpError(t, <-done, "accept", addr, net.ErrClosed)
		}
	})
	_, err := l.Accept()
	wantOpError(t, err, "accept", addr, net.ErrClosed)
	wantOpError(t, l.Close(), "close", addr, net.ErrClosed)
	if _, err := os.Lstat(addr); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's file is still there: %v", err)
	}
	// What was accepted goes on.
	if err := write(c); err != nil {
		t.Error(err)
	}
	if err := read(peer); err != nil {
		t.Error(err)
	}
}

// A listener on which nobody ever accepts closes, too, and its diallers get an error.
func TestListenerCloseWithoutAccept(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	l := listen(t, addr, nil)
	done := make(chan error)
	go func() {
		_, err := shmconn.Dial(t.Context(), addr, nil)
		done <- err
	}()
	waiting, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	l.Close()
	if err := <-done; err == nil {
		t.Error("Dial succeeded")
	}
}

// dialEach makes connections one after the other, through goroutines that accept. Each
// fails the test after patience, which is far less than the time of a handshake here.
func dialEach(t *testing.T, l *shmconn.Listener, n int) (slowest time.Duration) {
	t.Helper()
	for range n {
		start := time.Now()
		a, b := meet(t, l, nil)
		slowest = max(slowest, time.Since(start))
		a.Close()
		b.Close()
	}
	return slowest
}

// Diallers that connect and then say nothing, or stop after their hello, delay nobody,
// though they be many more than there may be handshakes at a time.
func TestHostileDiallers(t *testing.T) {
	const hostile, most = 200, 64
	for name, says := range map[string][]byte{"silent": nil, "half a hello": hello(1)[:10], "no ack": hello(1)} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			l := listen(t, sockPath(t), &shmconn.Config{MaxHandshakes: most, HandshakeTimeout: time.Hour})
			var closed sync.WaitGroup
			for range hostile {
				c, err := net.Dial("unix", l.Addr().(shmconn.Addr).Name)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write(says); err != nil {
					t.Fatal(err)
				}
				closed.Go(func() { _, _ = io.Copy(io.Discard, c) })
			}
			// All of the hostile ones came before, and would take an hour.
			t.Logf("the slowest of 20 honest diallers took %v", dialEach(t, l, 20))
			ends(t, "giving the hostile ones up", func() {
				l.Close()
				closed.Wait()
			})
		})
	}
}

// Many honest diallers at once, many more than there may be handshakes at a time, are
// all served.
func TestManyDiallersAtOnce(t *testing.T) {
	leak.Check(t)
	const diallers = 200
	l := listen(t, sockPath(t), &shmconn.Config{MaxHandshakes: 4, RingSize: 4 << 10, HandshakeTimeout: patience})
	var wg sync.WaitGroup
	for range diallers {
		wg.Go(func() {
			c, err := shmconn.Dial(t.Context(), l.Addr().(shmconn.Addr).Name, patient)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := read(c); err != nil {
				t.Error(err)
			}
		})
	}
	go func() {
		wg.Wait()
		l.Close()
	}()
	served := 0
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		if err := write(c); err != nil {
			t.Error(err)
		}
		served++
		defer c.Close()
	}
	if served != diallers {
		t.Errorf("%d of %d diallers were served", served, diallers)
	}
}

// Connections that nobody accepts hold up others, as in any listener; they are
// not given up.
func TestSlowAccept(t *testing.T) {
	leak.Check(t)
	const most, diallers = 4, 16
	l := listen(t, sockPath(t), &shmconn.Config{MaxHandshakes: most, HandshakeTimeout: patience})
	dialled := make(chan *shmconn.Conn, diallers)
	first, firstPeer := meet(t, l, nil) // the loop runs now
	for range diallers {
		go func() { dialled <- dial(t, l.Addr().(shmconn.Addr).Name, nil) }()
	}
	for range most { // as many as the listener takes on by itself
		<-dialled
	}
	for range diallers - most {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		<-dialled
	}
	for range most {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := write(first); err != nil {
		t.Error(err)
	}
	if err := read(firstPeer); err != nil {
		t.Error(err)
	}
}

// A dialler that dies in the middle of its handshake costs the listener nothing.
func TestHandshakeBrokenOff(t *testing.T) {
	leak.Check(t)
	for name, cfg := range configs {
		stubborn := *cfg
		stubborn.HandshakeTimeout = time.Hour
		l := listen(t, sockPath(t), &stubborn)
		hi := hello(1)
		for cut := 0; cut <= len(hi); cut += 7 {
			c, err := net.Dial("unix", l.Addr().(shmconn.Addr).Name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(hi[:cut]); err != nil {
				t.Error(err)
			}
			c.Close()
		}
		t.Logf("%s: the slower of 2 honest diallers took %v", name, dialEach(t, l, 2))
		l.Close()
	}
}
