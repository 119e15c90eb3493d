package shmconn

import (
	"context"
	"net"

	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/upper"
)

func init() {
	upper.Offer = func(lis net.Listener, protos ...string) {
		lis.(*Listener).protos.Store(&protos)
	}
	upper.Dial = func(ctx context.Context, addr string, cfg any, protos ...string) (net.Conn, error) {
		c, err := dial(ctx, addr, cfg.(*Config), protos)
		if err != nil {
			return nil, addrError("dial", addr, err)
		}
		return c, nil
	}
	upper.Session = func(conn net.Conn) (*shm.Session, string, bool) {
		c := conn.(*Conn)
		return c.sess, c.sess.Info().Proto, c.wait != PowerFirst
	}
}
