package shmconn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/shmconn"
)

var _ = role("echo", echo)

// echo listens at its first argument with the configuration named by the second, and
// sends back what it gets on each connection.
func echo(c *testproc.Child) error {
	l, err := shmconn.Listen(c.Args[0], configs[c.Args[1]])
	if err != nil {
		return err
	}
	c.Ready("listening")
	go func() {
		_, _ = c.In.ReadString(0) // until the parent is gone
		l.Close()
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			pass(conn.(*shmconn.Conn), conn.(*shmconn.Conn))
			conn.Close()
		}()
	}
}

// send writes n bytes of the pattern, in Writes of at most chunk bytes.
func send(c net.Conn, n, chunk int) error {
	buf := make([]byte, chunk)
	for at := 0; at < n; {
		b := buf[:min(chunk, n-at)]
		pattern(b, at)
		m, err := c.Write(b)
		if m != len(b) || err != nil {
			return fmt.Errorf("Write of %d bytes at %d = %d, %w", len(b), at, m, err)
		}
		at += m
	}
	return nil
}

// receive reads n bytes of the pattern, in Reads of at most chunk bytes.
func receive(c net.Conn, n, chunk int) error {
	buf := make([]byte, chunk)
	for at := 0; at < n; {
		m, err := c.Read(buf[:min(chunk, n-at)])
		if err != nil {
			return fmt.Errorf("Read at %d: %w", at, err)
		}
		if err := checkPattern(buf[:m], at); err != nil {
			return err
		}
		at += m
	}
	return nil
}

// Sizes below, at and far above the ring's, in all combinations: bytes arrive in order,
// and each Write writes all of it.
func TestSizes(t *testing.T) {
	leak.Check(t)
	const ring, total = 4 << 10, 40 << 10
	sizes := []int{1, 3, ring - 1, ring, ring + 1, total}
	for _, w := range sizes {
		for _, r := range sizes {
			a, b := pipe(t, configs["small"])
			done := make(chan error)
			go func() { done <- send(a, total, w) }()
			if err := receive(b, total, r); err != nil {
				t.Errorf("Writes of %d, Reads of %d bytes: %v", w, r, err)
				a.Close() // or the writer would wait
			}
			if err := <-done; err != nil {
				t.Errorf("Writes of %d, Reads of %d bytes: %v", w, r, err)
			}
			a.Close()
			b.Close()
		}
	}
}

// Both rings are full and both ends write before they read: with a writer of its own on
// each side nothing is stuck.
func TestBothRingsFull(t *testing.T) {
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			path := sockPath(t)
			child := testproc.Start(t, "echo", path, name)
			child.ReadLine()
			c := dial(t, path, cfg)
			total := 8 * c.Info().WriteRing
			done := make(chan error)
			go func() { done <- send(c, total, total) }()
			// The echo fills our ring and stops; then its own fills, and our Write stops.
			for shmconn.Unread(c) < c.Info().ReadRing {
				if err := c.WaitRead(); err != nil {
					t.Fatal(err)
				}
			}
			if err := receive(c, total, 64<<10); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			wantErr(t, "Read after the echo's end", read(c), io.EOF)
		})
	}
}

// Many goroutines read and write one connection: each Write arrives in one piece, and
// each byte is read once.
func TestManyGoroutines(t *testing.T) {
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			const writers, messages, size = 8, 50, 3000
			a, b := pipe(t, cfg)
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					msg := bytes.Repeat([]byte{byte('a' + w)}, size)
					for range messages {
						if _, err := a.Write(msg); err != nil {
							t.Error(err)
						}
					}
				})
			}
			go func() {
				wg.Wait()
				a.CloseWrite()
			}()
			got, err := io.ReadAll(b)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != writers*messages*size {
				t.Fatalf("read %d bytes, want %d", len(got), writers*messages*size)
			}
			for len(got) > 0 {
				if msg := got[:size]; !bytes.Equal(msg, bytes.Repeat(msg[:1], size)) {
					t.Fatal("two Writes are mixed")
				}
				got = got[size:]
			}
		})
	}
}

func TestManyReaders(t *testing.T) {
	leak.Check(t)
	const readers, total = 8, 1 << 20
	a, b := pipe(t, configs["small"])
	sums := make(chan [256]int)
	for range readers {
		go func() {
			var sum [256]int
			buf := make([]byte, 700)
			for {
				n, err := b.Read(buf)
				for _, v := range buf[:n] {
					sum[v]++
				}
				if err != nil {
					sums <- sum
					return
				}
			}
		}()
	}
	if err := send(a, total, 5000); err != nil {
		t.Fatal(err)
	}
	a.Close()
	var got, want [256]int
	for range readers {
		for v, n := range <-sums {
			got[v] += n
		}
	}
	all := make([]byte, total)
	pattern(all, 0)
	for _, v := range all {
		want[v]++
	}
	if got != want {
		t.Error("the readers together read other bytes than were sent")
	}
}

func TestNetBuffers(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, configs["small"])
	bufs := net.Buffers{[]byte("one "), nil, []byte("two "), bytes.Repeat([]byte("x"), 10_000)}
	want := string(bytes.Join(bufs, nil))
	go func() {
		defer a.Close()
		if n, err := bufs.WriteTo(a); n != int64(len(want)) || err != nil {
			t.Errorf("WriteTo = %d, %v", n, err)
		}
	}()
	if got, err := io.ReadAll(b); string(got) != want || err != nil {
		t.Errorf("read %d bytes, %v: want the %d that were sent", len(got), err, len(want))
	}
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	for name, cfg := range configs {
		if name == "small" {
			continue // what is measured below doesn't fit
		}
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			path := sockPath(t)
			child := testproc.Start(t, "echo", path, name)
			child.ReadLine()
			c := dial(t, path, cfg)
			for _, size := range []int{1, 64 << 10} { // the larger one doesn't fit into one piece
				out, in := make([]byte, size), make([]byte, size)
				if n := testing.AllocsPerRun(200, func() {
					if _, err := c.Write(out); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(c, in); err != nil {
						t.Error(err)
					}
				}); n != 0 {
					t.Errorf("%v allocations to send %d bytes and receive them back", n, size)
				}
			}
		})
	}
}
