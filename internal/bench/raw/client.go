package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// caller sends messages over a connection of its own, each different, and compares
// what comes back.
type caller struct {
	conn      net.Conn
	sent, got []byte
	seq       uint64
}

func newCaller(conn net.Conn, size int) *caller {
	c := &caller{conn: conn, sent: make([]byte, size), got: make([]byte, size)}
	var seed [32]byte
	_, _ = rand.NewChaCha8(seed).Read(c.sent)
	return c
}

func (c *caller) do() error {
	c.seq++
	binary.LittleEndian.PutUint64(c.sent, c.seq)
	if _, err := c.conn.Write(c.sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.got); err != nil {
		return err
	}
	if !bytes.Equal(c.sent, c.got) {
		return errors.New("the echo differs from what was sent")
	}
	return nil
}

// connect makes the load: each caller has a connection.
func connect(ctx context.Context, c bench.Case) (bench.Load, error) {
	callers := make([]*caller, max(c.Callers, 1))
	load := bench.Load{
		Do: func(i int) error { return callers[i].do() },
		Close: func() {
			for _, c := range callers {
				if c != nil {
					_ = c.conn.Close()
				}
			}
		},
	}
	for i := range callers {
		conn, err := dial(ctx, c)
		if err != nil {
			load.Close()
			return bench.Load{}, err
		}
		callers[i] = newCaller(conn, c.Size)
	}
	return load, nil
}
