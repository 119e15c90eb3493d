package shmconn_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

func TestNetConn(t *testing.T) {
	leak.Check(t)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b, err := shmconn.Pipe(nil)
		if err != nil {
			return nil, nil, nil, err
		}
		return a, b, func() { _ = a.Close(); _ = b.Close() }, nil
	})
}
