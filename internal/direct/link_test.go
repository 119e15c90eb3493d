package direct_test

import (
	"net"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/shm"
)

// sessions is a connected pair of sessions with rings of n bytes.
func sessions(tb testing.TB, n int) (dialler, listener *shm.Session) {
	tb.Helper()
	dir := tb.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	opt := &shm.Options{Ring: n, RingLimit: n, Backings: shm.Of(shm.MemFD)}
	accepted := make(chan *shm.Session, 1)
	go func() {
		defer close(accepted)
		conn, err := l.AcceptUnix()
		if err != nil {
			tb.Error(err)
			return
		}
		s, err := shm.Accept(conn, opt)
		if err != nil {
			tb.Error(err)
			return
		}
		accepted <- s
	}()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	dialler, err = shm.Connect(conn, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return dialler, <-accepted
}

// pair is a connected pair of connections.
func pair(tb testing.TB, ring int, client, server direct.Options) (c, s *direct.Conn) {
	tb.Helper()
	a, b := sessions(tb, ring)
	c, err := direct.New(a, client)
	if err != nil {
		tb.Fatal(err)
	}
	s, err = direct.New(b, server)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.Close()
		s.Close()
		for _, conn := range []*direct.Conn{c, s} {
			select {
			case <-conn.Gone():
			case <-time.After(60 * time.Second):
				tb.Error("a connection is not gone 60 s after Close")
			}
		}
	})
	return c, s
}
