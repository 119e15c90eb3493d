package shmconn

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// Dial connects to a [Listener]. addr is the path of its socket, or "@name" in
// the abstract namespace. ctx bounds the whole of Dial; once it returned, ctx has no
// effect on the connection. Errors are of type [*net.OpError].
func Dial(ctx context.Context, addr string, cfg *Config) (*Conn, error) {
	c, err := dial(ctx, addr, cfg, nil)
	if err != nil {
		return nil, addrError("dial", addr, err)
	}
	return c, nil
}

// dial is Dial, with a wish for an upper protocol.
func dial(ctx context.Context, addr string, cfg *Config, protos []string) (*Conn, error) {
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if err := shm.Supported(); err != nil {
		return nil, err
	}
	if err := unixsock.Check(addr); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", addr)
	if err != nil {
		return nil, err
	}
	sess, err := connect(ctx, conn.(*net.UnixConn), r.options(protos))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return open(sess, Addr{}, Addr{Name: addr}, r), nil
}

// connect is the handshake, bounded by ctx.
func connect(ctx context.Context, conn *net.UnixConn, opt *shm.Options) (*shm.Session, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	sess, err := shm.Connect(conn, opt)
	if !stop() {
		// ctx ended, and may have set the deadline after the handshake was done.
		if sess != nil {
			sess.Close()
		}
		return nil, fmt.Errorf("no handshake in time; does the listener's process run, and does it accept? %w", context.Cause(ctx))
	}
	return sess, err
}
