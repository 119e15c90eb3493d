package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/carp-rpc/carp-go/internal/bench"
	"github.com/carp-rpc/carp-go/shmconn"
)

// The stacks.
const (
	unixStack = "unix"
	shmStack  = "shm"
)

// Settings of shm, in Case.Set.
const (
	setWait = "wait" // a Wait of shmconn by its name below
	setRing = "ring" // bytes per direction
)

var waits = map[string]shmconn.Wait{
	"":         shmconn.Balanced,
	"balanced": shmconn.Balanced,
	"latency":  shmconn.LatencyFirst,
	"power":    shmconn.PowerFirst,
}

func config(c bench.Case) (*shmconn.Config, error) {
	wait, ok := waits[c.Set[setWait]]
	if !ok {
		return nil, fmt.Errorf("unknown %s=%s", setWait, c.Set[setWait])
	}
	return &shmconn.Config{Wait: wait, RingSize: c.Int(setRing)}, nil
}

func listen(c bench.Case) (net.Listener, error) {
	if c.Stack != shmStack {
		return net.Listen(c.Stack, c.Addr)
	}
	cfg, err := config(c)
	if err != nil {
		return nil, err
	}
	return shmconn.Listen(c.Addr, cfg)
}

func dial(ctx context.Context, c bench.Case) (net.Conn, error) {
	if c.Stack != shmStack {
		var d net.Dialer
		return d.DialContext(ctx, c.Stack, c.Addr)
	}
	cfg, err := config(c)
	if err != nil {
		return nil, err
	}
	return shmconn.Dial(ctx, c.Addr, cfg)
}

// serve echoes messages: it reads one to its end before it answers.
func serve(ctx context.Context, c bench.Case, ready func()) error {
	lis, err := listen(c)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = lis.Close() })
	defer stop()
	ready()
	for {
		conn, err := lis.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		go echo(conn, make([]byte, c.Size))
	}
}

func echo(conn net.Conn, msg []byte) {
	defer conn.Close()
	for {
		if _, err := io.ReadFull(conn, msg); err != nil {
			return
		}
		if _, err := conn.Write(msg); err != nil {
			return
		}
	}
}
