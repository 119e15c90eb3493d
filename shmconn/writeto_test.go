package shmconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

// All kinds of writers get all bytes, in order, and then io.Copy's success.
func TestWriteTo(t *testing.T) {
	const total = 3 << 20
	for name, sink := range map[string]func(t *testing.T) (io.Writer, func() []byte){
		"file": func(t *testing.T) (io.Writer, func() []byte) {
			f, err := os.Create(sockPath(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f, func() []byte {
				data, err := os.ReadFile(f.Name())
				if err != nil {
					t.Error(err)
				}
				return data
			}
		},
		"socket": func(t *testing.T) (io.Writer, func() []byte) {
			l, err := net.Listen("unix", sockPath(t))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			a, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			b, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return a, collect(t, a, b)
		},
		"conn": func(t *testing.T) (io.Writer, func() []byte) {
			a, b := pipe(t, configs["small"])
			return a, collect(t, a, b)
		},
		"buffer": func(*testing.T) (io.Writer, func() []byte) {
			var b bytes.Buffer
			return &b, b.Bytes
		},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			w, got := sink(t)
			a, b := pipe(t, nil)
			done := make(chan error)
			go func() {
				err := send(a, total, 10_000)
				a.Close()
				done <- err
			}()
			if n, err := io.Copy(w, b); n != total || err != nil {
				t.Errorf("io.Copy = %d, %v", n, err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			data := got()
			if len(data) != total {
				t.Fatalf("%d bytes arrived, want %d", len(data), total)
			}
			if err := checkPattern(data, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// collect reads from until to is closed, by what it returns.
func collect(t *testing.T, to, from net.Conn) func() []byte {
	t.Helper()
	all := make(chan []byte)
	go func() {
		defer from.Close()
		data, err := io.ReadAll(from)
		if err != nil {
			t.Error(err)
		}
		all <- data
	}()
	return func() []byte {
		to.Close()
		return <-all
	}
}

// What the writer could not take is still there to be read.
func TestWriteToFails(t *testing.T) {
	leak.Check(t)
	a, b := pipe(t, nil)
	if _, err := a.Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	dead, peer := pipe(t, nil)
	peer.Close()
	if n, err := b.WriteTo(dead); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "kept" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	b.Close()
	_, err := b.WriteTo(dead)
	wantErr(t, "WriteTo after Close", err, net.ErrClosed)
}

var _ io.WriterTo = (*shmconn.Conn)(nil)
