package unixsock_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/internal/unixsock"
)

func TestPeerCred(t *testing.T) {
	leak.Check(t)
	ln := listen(t, filepath.Join(t.TempDir(), "s"))
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	want := unixsock.Cred{PID: os.Getpid(), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	for _, c := range []*net.UnixConn{server, client.(*net.UnixConn)} {
		got, err := unixsock.PeerCred(c)
		if errors.Is(err, errors.ErrUnsupported) {
			skipHere(t, err)
		}
		if err != nil || got != want {
			t.Errorf("PeerCred = %+v, %v, want %+v", got, err, want)
		}
	}
	server.Close()
	if _, err := unixsock.PeerCred(server); !errors.Is(err, net.ErrClosed) {
		t.Errorf("PeerCred of a closed conn = %v, want net.ErrClosed", err)
	}
}

// skipHere leaves out what a system doesn't have. Linux has all of it.
func skipHere(t *testing.T, why error) {
	t.Helper()
	if runtime.GOOS == "linux" {
		t.Fatal(why)
	}
	testproc.Unable(t, why.Error())
}
