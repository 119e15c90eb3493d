package shmconn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

// wantErr checks an error of a connection: its cause, and that it is of the form that
// net's connections use.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	if errors.Is(want, io.EOF) {
		if err != io.EOF { //nolint:errorlint // readers compare with ==
			t.Errorf("%s: io.EOF is wrapped: %#v", what, err)
		}
		return
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Net != "unix" || op.Addr == nil {
		t.Errorf("%s: %#v, want a *net.OpError with an address", what, err)
	}
	var timeout net.Error
	if isTimeout := errors.Is(want, os.ErrDeadlineExceeded); !errors.As(err, &timeout) || timeout.Timeout() != isTimeout {
		t.Errorf("%s: Timeout() of %v is not %v", what, err, isTimeout)
	}
}

func read(c net.Conn) error {
	_, err := c.Read(make([]byte, 1))
	return err
}

func write(c net.Conn) error {
	_, err := c.Write([]byte{1})
	return err
}

func TestAddresses(t *testing.T) {
	leak.Check(t)
	path := sockPath(t)
	l := listen(t, path, nil)
	d, a := meet(t, l, nil)
	for _, c := range []struct {
		what string
		addr net.Addr
		want string
	}{
		{"listener", l.Addr(), "shm:" + path},
		{"dialled, remote", d.RemoteAddr(), "shm:" + path},
		{"dialled, local", d.LocalAddr(), "shm:"},
		{"accepted, local", a.LocalAddr(), "shm:" + path},
		{"accepted, remote", a.RemoteAddr(), "shm:"},
	} {
		if c.addr.Network() != "unix" || c.addr.String() != c.want {
			t.Errorf("%s: %s %q, want unix %q", c.what, c.addr.Network(), c.addr, c.want)
		}
	}
	want := shmconn.PeerCred{PID: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if d.PeerCred() != want || a.PeerCred() != want {
		t.Errorf("peers %+v and %+v, want %+v", d.PeerCred(), a.PeerCred(), want)
	}
}

func TestErrorsAfterOwnClose(t *testing.T) {
	leak.Check(t)
	c, _ := pipe(t, nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Read":        read(c),
		"Write":       write(c),
		"WaitRead":    c.WaitRead(),
		"CloseWrite":  c.CloseWrite(),
		"CloseRead":   c.CloseRead(),
		"SetDeadline": c.SetDeadline(time.Now()),
		"Close":       c.Close(),
	} {
		wantErr(t, what, err, net.ErrClosed)
	}
}

func TestErrorsAfterPeerClose(t *testing.T) {
	leak.Check(t)
	c, peer := pipe(t, nil)
	if _, err := peer.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	if got, err := io.ReadAll(c); string(got) != "last words" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	wantErr(t, "Read", read(c), io.EOF)
	wantErr(t, "WaitRead", c.WaitRead(), io.EOF)
	wantErr(t, "Write", write(c), syscall.EPIPE)
}

// Close ends what is under way at once, and so does the peer's.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	for _, c := range []struct {
		name        string
		close       func(c, peer *shmconn.Conn)
		read, write error
	}{
		{"own", func(c, _ *shmconn.Conn) { c.Close() }, net.ErrClosed, net.ErrClosed},
		{"peer's", func(_, p *shmconn.Conn) { p.Close() }, io.EOF, syscall.EPIPE},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, cfg := range configs {
				t.Run(name, func(t *testing.T) {
					leak.Check(t)
					a, b := pipe(t, cfg)
					done := make(chan error, 3)
					go func() { done <- read(a) }()
					go func() { done <- read(a) }() // waits for the first
					writing := make(chan error)
					go func() {
						_, err := a.Write(make([]byte, 32<<20))
						writing <- err
					}()
					awaitFull(t, a, b)
					ends(t, "ending Read and Write", func() {
						c.close(a, b)
						wantErr(t, "Read", <-done, c.read)
						wantErr(t, "second Read", <-done, c.read)
						wantErr(t, "Write", <-writing, c.write)
					})
				})
			}
		})
	}
}

// awaitFull waits until the ring from a to b is full. Its writer then sleeps, or is about
// to.
func awaitFull(t *testing.T, a, b *shmconn.Conn) {
	t.Helper()
	if err := b.WaitRead(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); shmconn.Unread(b) < a.Info().WriteRing; {
		if time.Now().After(deadline) {
			t.Fatal("the ring does not fill up")
		}
	}
}

func TestDeadlines(t *testing.T) {
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			c, peer := pipe(t, cfg)
			// Nobody reads: once the ring is full, Writes wait.
			ring := c.Info().WriteRing
			if n, err := c.Write(make([]byte, ring)); n != ring || err != nil {
				t.Errorf("Write wrote %d bytes to an empty ring of %d: %v", n, ring, err)
			}
			if _, err := io.CopyN(io.Discard, peer, int64(ring/2)); err != nil {
				t.Fatal(err)
			}
			if err := c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Write(make([]byte, ring))
			wantErr(t, "Write to a full ring", err, os.ErrDeadlineExceeded)
			if n > ring/2 {
				t.Errorf("Write wrote %d bytes to the half of a ring of %d", n, ring)
			}
			wantErr(t, "Write after its deadline", write(c), os.ErrDeadlineExceeded)
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			wantErr(t, "Read", read(c), os.ErrDeadlineExceeded)
			wantErr(t, "Read after its deadline", read(c), os.ErrDeadlineExceeded)
			wantErr(t, "WaitRead after its deadline", c.WaitRead(), os.ErrDeadlineExceeded)

			// The connection is as good as before.
			if err := c.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, peer, int64(ring-ring/2+n)); err != nil {
				t.Errorf("what Writes said that they wrote is not there: %v", err)
			}
			const sent = "without a deadline"
			if _, err := c.Write([]byte(sent)); err != nil {
				t.Errorf("Write without a deadline: %v", err)
			}
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(peer, got); err != nil || string(got) != sent {
				t.Errorf("the peer read %q, %v, want %q: a Write that failed wrote more than it said", got, err, sent)
			}
			if err := write(peer); err != nil {
				t.Fatal(err)
			}
			if err := read(c); err != nil {
				t.Errorf("Read without a deadline: %v", err)
			}
		})
	}
}

// A deadline that is moved while a Read waits counts from then on.
func TestDeadlineMovedMeanwhile(t *testing.T) {
	leak.Check(t)
	c, _ := pipe(t, nil)
	if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- read(c) }()
	for range 100 {
		if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, "ending a Read", func() {
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "Read", <-done, os.ErrDeadlineExceeded)
	})
}

func TestCloseWrite(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, nil)
	if _, err := a.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Errorf("second CloseWrite: %v", err)
	}
	wantErr(t, "Write after CloseWrite", write(a), syscall.EPIPE)
	if got, err := io.ReadAll(b); string(got) != "request" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	if _, err := b.Write([]byte("answer")); err != nil {
		t.Errorf("Write of the peer after our CloseWrite: %v", err)
	}
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// CloseWrite is told to a Read that waits, and ends a Write that waits.
func TestCloseWriteWakes(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, configs["small"])
	done := make(chan error)
	go func() { done <- read(b) }()
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	ends(t, "ending the peer's Read", func() { wantErr(t, "Read", <-done, io.EOF) })

	a, b = pipe(t, configs["small"])
	go func() {
		_, err := a.Write(make([]byte, 1<<20))
		done <- err
	}()
	awaitFull(t, a, b)
	ends(t, "ending a Write", func() {
		if err := a.CloseWrite(); err != nil {
			t.Error(err)
		}
		wantErr(t, "Write", <-done, syscall.EPIPE)
	})
}

func TestCloseRead(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, configs["small"])
	done := make(chan error)
	go func() {
		_, err := b.Write(make([]byte, 1<<20))
		done <- err
	}()
	awaitFull(t, b, a)
	ends(t, "ending the peer's Write", func() {
		if err := a.CloseRead(); err != nil {
			t.Error(err)
		}
		wantErr(t, "the peer's Write", <-done, syscall.EPIPE)
	})
	if n, err := io.Copy(io.Discard, a); n != int64(b.Info().WriteRing) || err != nil {
		t.Errorf("read %d bytes, %v: want what was there already", n, err)
	}
	wantErr(t, "Read", read(a), io.EOF)
	if err := write(a); err != nil {
		t.Errorf("Write after CloseRead: %v", err)
	}
	if err := read(b); err != nil {
		t.Errorf("Read of the peer after our CloseRead: %v", err)
	}

	a, _ = pipe(t, nil)
	go func() { done <- read(a) }()
	ends(t, "ending a Read", func() {
		if err := a.CloseRead(); err != nil {
			t.Error(err)
		}
		wantErr(t, "Read", <-done, io.EOF)
	})
}

func TestEmptyReadsAndWrites(t *testing.T) {
	leak.Check(t)
	c, peer := pipe(t, nil)
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of nothing = %d, %v", n, err)
	}
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("Write of nothing = %d, %v", n, err)
	}
	peer.Close()
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of nothing after the peer's Close = %d, %v", n, err)
	}
	c.Close()
	_, err := c.Read(nil)
	wantErr(t, "Read of nothing after Close", err, net.ErrClosed)
	_, err = c.Write(nil)
	wantErr(t, "Write of nothing after Close", err, net.ErrClosed)
}

func TestInfo(t *testing.T) {
	leak.Check(t)
	c, peer := pipe(t, &shmconn.Config{RingSize: 64 << 10, Backings: []shmconn.Backing{shmconn.SysV}})
	c.Close()
	peer.Close()
	want := shmconn.Info{Backing: shmconn.SysV, ReadRing: 64 << 10, WriteRing: 64 << 10}
	if c.Info() != want || peer.Info() != want {
		t.Errorf("%+v and %+v, want %+v", c.Info(), peer.Info(), want)
	}
}

func TestBadConfig(t *testing.T) {
	leak.Check(t)
	for _, c := range []struct {
		cfg  shmconn.Config
		says string
	}{
		{shmconn.Config{RingSize: 5000}, "RingSize: ring of 5000 bytes: want a power of two"},
		{shmconn.Config{RingSize: 2 << 10}, "RingSize"},
		{shmconn.Config{RingSize: 128 << 20}, "RingSize"},
		{shmconn.Config{MaxRingSize: 5000}, "MaxRingSize"},
		{shmconn.Config{RingSize: 64 << 10, MaxRingSize: 32 << 10}, "below RingSize"},
		{shmconn.Config{Wait: 7}, "Wait: unknown mode 7"},
		{shmconn.Config{Backings: []shmconn.Backing{}}, "Backings: empty"},
		{shmconn.Config{Backings: []shmconn.Backing{9}}, "Backings: unknown backing(9)"},
		{shmconn.Config{HandshakeTimeout: -1}, "HandshakeTimeout"},
		{shmconn.Config{MaxHandshakes: -1}, "MaxHandshakes"},
	} {
		_, _, pipeErr := shmconn.Pipe(&c.cfg)
		_, listenErr := shmconn.Listen(sockPath(t), &c.cfg)
		_, dialErr := shmconn.Dial(t.Context(), sockPath(t), &c.cfg)
		for _, err := range []error{pipeErr, listenErr, dialErr} {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v: %v, want %q", c.cfg, err, c.says)
			}
		}
	}
}
