package dialer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

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
