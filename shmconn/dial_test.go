package shmconn_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

// wantOpError checks an error of Dial or Listen: operation, address, cause and text.
func wantOpError(t *testing.T, err error, op, addr string, want error, says ...string) {
	t.Helper()
	var e *net.OpError
	if !errors.As(err, &e) || e.Op != op || e.Net != "unix" || e.Addr.String() != "shm:"+addr {
		t.Fatalf("%v (%#v), want a *net.OpError of %s with the address %q", err, err, op, addr)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	for _, s := range append(says, addr) {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q lacks %q", err, s)
		}
	}
}

// plainListener is a unix socket on which serve gets each connection.
func plainListener(t *testing.T, addr string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// answer reads a hello and sends something else than our offer.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, text)
	}
}

func TestDialWhatIsNotThere(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	regular, stale := filepath.Join(dir, "regular"), filepath.Join(dir, "stale")
	if err := os.WriteFile(regular, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	long := filepath.Join(dir, strings.Repeat("x", 108))
	for _, c := range []struct {
		addr string
		want error
		says string
	}{
		{filepath.Join(dir, "nothing"), fs.ErrNotExist, ""},
		{fmt.Sprintf("@carp-nobody-%d", os.Getpid()), syscall.ECONNREFUSED, ""},
		{regular, syscall.ECONNREFUSED, ""},
		{stale, syscall.ECONNREFUSED, ""},
		{long, syscall.ENAMETOOLONG, fmt.Sprintf("has %d bytes, the kernel's limit is 107", len(long))},
		{"", nil, "empty"},
	} {
		_, err := shmconn.Dial(t.Context(), c.addr, nil)
		wantOpError(t, err, "dial", c.addr, c.want, c.says)
	}
	if data, err := os.ReadFile(regular); string(data) != "precious" || err != nil {
		t.Errorf("the regular file holds %q, %v", data, err)
	}
}

func TestDialOtherServers(t *testing.T) {
	future := []byte("carp-shm\x04\x00\x02\x00\x20\x00\x00\x00\x1e\x00the listener speaks version 2.")
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  error
		says  string
	}{
		{"that close", func(net.Conn) {}, shmconn.ErrNotShm, "closed the connection"},
		{"that speak HTTP", answer("HTTP/1.1 400 Bad Request\r\n\r\n"), shmconn.ErrNotShm, "HTTP/1.1 400 Bad"},
		{"that speak first", func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") }, shmconn.ErrNotShm, "220 mail.example"},
		{"of another version", answer(string(future)), shmconn.ErrRefused, "the listener speaks version 2."},
		{"that say nonsense", answer("carp-shm\x02\x00\x01\x00\xff\xff\xff\xff"), shmconn.ErrCorrupt, "4294967295 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			addr := sockPath(t)
			plainListener(t, addr, c.serve)
			_, err := shmconn.Dial(t.Context(), addr, patient)
			wantOpError(t, err, "dial", addr, c.want, c.says)
		})
	}
}

// A server that says nothing costs the handshake's time, or the context's.
func TestDialSilentServers(t *testing.T) {
	leak.Check(t)
	addr := sockPath(t)
	plainListener(t, addr, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	_, err := shmconn.Dial(t.Context(), addr, &shmconn.Config{HandshakeTimeout: 20 * time.Millisecond})
	wantOpError(t, err, "dial", addr, context.DeadlineExceeded, "no handshake in time")

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = shmconn.Dial(ctx, addr, patient)
	wantOpError(t, err, "dial", addr, context.Canceled)

	_, err = shmconn.Dial(ctx, addr, patient)
	wantOpError(t, err, "dial", addr, context.Canceled)
}

// A context that ends after Dial has no effect on the connection.
func TestDialContextEndsLater(t *testing.T) {
	leak.Check(t)
	l := listen(t, sockPath(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	c, err := shmconn.Dial(ctx, l.Addr().(shmconn.Addr).Name, patient)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer := <-accepted
	defer peer.Close()
	cancel()
	if err := write(c); err != nil {
		t.Error(err)
	}
	if err := read(peer); err != nil {
		t.Error(err)
	}
}

// hello is a dialler's first message, of a version that may be another one.
func hello(version uint16) []byte {
	b := []byte("carp-shm\x01\x00\x00\x00\x00\x00\x00\x00")
	binary.LittleEndian.PutUint16(b[10:], version)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint32(b, 6) // both backings
	for range 2 {
		b = binary.LittleEndian.AppendUint32(b, 4<<10)
		b = binary.LittleEndian.AppendUint32(b, 4<<10)
	}
	b = append(b, 0)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-16))
	return b
}

// A dialler of another version is told which one is spoken here.
func TestListenerMeetsAnotherVersion(t *testing.T) {
	leak.Check(t)
	l := listen(t, sockPath(t), nil)
	go l.Accept()
	c, err := net.Dial("unix", l.Addr().(shmconn.Addr).Name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(hello(2)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(got), "the dialler speaks versions 2 to 2 of the protocol, the listener version 1") {
		t.Errorf("answer %q, %v", got, err)
	}
	l.Close()
}
