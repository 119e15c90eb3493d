package carpgrpc

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/upper"
	"github.com/carp-rpc/carp-go/shmconn"
)

// Either end's way of waiting is that of its shmconn.Config: only PowerFirst never spins.
func TestSpinIsThatOfTheConfig(t *testing.T) {
	for wait, spins := range map[shmconn.Wait]bool{shmconn.Balanced: true, shmconn.LatencyFirst: true, shmconn.PowerFirst: false} {
		leak.Check(t)
		path := filepath.Join(t.TempDir(), "s")
		lis, err := shmconn.Listen(path, &shmconn.Config{Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		upper.Offer(lis, directProto)
		dialled := make(chan net.Conn, 1)
		go func() {
			conn, err := upper.Dial(t.Context(), path, &shmconn.Config{Wait: wait}, directProto)
			if err != nil {
				t.Error(err)
			}
			dialled <- conn
		}()
		accepted, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		dialler := <-dialled
		defer dialler.Close()
		for name, conn := range map[string]*shmconn.Conn{"dialler": dialler.(*shmconn.Conn), "listener": accepted.(*shmconn.Conn)} {
			_, proto, got := upper.Session(conn)
			if proto != directProto || got != spins || (spinFor(got) > 0) != spins {
				t.Errorf("%s, mode %d: protocol %q, spins %v, for %v", name, wait, proto, got, spinFor(got))
			}
		}
	}
}
