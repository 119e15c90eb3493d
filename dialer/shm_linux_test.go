package dialer_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

func TestStaleShmSocketIsReplaced(t *testing.T) {
	leak.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	staleSocket(t, path)
	connect(t, listen(t, "shm://"+path))
}

// A peer that is not what the target says it is.
func TestWrongProtocol(t *testing.T) {
	leak.Check(t)
	plain := listen(t, "unix://"+filepath.Join(t.TempDir(), "plain"))
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\nthis is no shared memory"))
			c.Close()
		}
	}()
	target := "shm://" + plain.Addr().String()
	_, err := dialer.Dial(t.Context(), target)
	if !errors.Is(err, shmconn.ErrNotShm) || !strings.Contains(err.Error(), target) {
		t.Errorf("Dial = %v, want ErrNotShm and the target", err)
	}
}

// countingPool counts the buffers that are out.
type countingPool struct{ out, taken int }

func (p *countingPool) Get(n int) *[]byte { p.out++; p.taken++; b := make([]byte, n); return &b }
func (p *countingPool) Put(*[]byte)       { p.out-- }

// gRPC reads from a shm conn without holding a buffer while it waits, and gets back
// none with an error.
func TestReadOnReady(t *testing.T) {
	leak.Check(t)
	client, server := connect(t, listen(t, targets(t)["shm"]))
	reader := server.(interface {
		ReadOnReady(int, mem.BufferPool) (*[]byte, int, error)
	})
	var pool countingPool

	if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := reader.ReadOnReady(8, &pool); !errors.Is(err, os.ErrDeadlineExceeded) || pool.taken != 0 {
		t.Errorf("with nothing to read: %v, %d buffers taken", err, pool.taken)
	}
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}

	if _, err := io.WriteString(client, "carp"); err != nil {
		t.Fatal(err)
	}
	buf, n, err := reader.ReadOnReady(8, &pool)
	if err != nil || string((*buf)[:n]) != "carp" || len(*buf) != 8 {
		t.Fatalf("ReadOnReady = %q, %v", (*buf)[:n], err)
	}
	pool.Put(buf)

	client.Close()
	if buf, n, err := reader.ReadOnReady(8, &pool); !errors.Is(err, io.EOF) || buf != nil || n != 0 || pool.out != 0 {
		t.Errorf("at the end: %v, %d, %v, and %d buffers are out", buf, n, err, pool.out)
	}
}
