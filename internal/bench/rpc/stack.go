package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/bench"
	"github.com/carp-rpc/carp-go/shmconn"
)

// The stacks.
const (
	unixStack    = "unix"
	shmStack     = "shm"
	bufconnStack = "bufconn" // both ends in the client's process: the floor of any net.Conn
)

// Settings in Case.Set, for both ends.
const (
	setWindow = "window" // bytes of the HTTP/2 windows of streams and connections
	setBuffer = "buffer" // bytes of the read and write buffers
	setRing   = "ring"   // bytes of shm's rings, per direction
)

func serverOptions(c bench.Case) []grpc.ServerOption {
	var opts []grpc.ServerOption
	if n := c.Int(setWindow); n > 0 {
		opts = append(opts, grpc.InitialWindowSize(int32(n)), grpc.InitialConnWindowSize(int32(n)))
	}
	if n := c.Int(setBuffer); n > 0 {
		opts = append(opts, grpc.ReadBufferSize(n), grpc.WriteBufferSize(n))
	}
	return opts
}

func dialOptions(c bench.Case) []grpc.DialOption {
	opts := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if n := c.Int(setWindow); n > 0 {
		opts = append(opts, grpc.WithInitialWindowSize(int32(n)), grpc.WithInitialConnWindowSize(int32(n)))
	}
	if n := c.Int(setBuffer); n > 0 {
		opts = append(opts, grpc.WithReadBufferSize(n), grpc.WithWriteBufferSize(n))
	}
	return opts
}

// target is where the two processes of a case meet.
func target(c bench.Case) (string, error) {
	switch c.Stack {
	case unixStack:
		return "unix://" + c.Addr, nil
	case shmStack:
		return "shm://" + c.Addr, nil
	default:
		return "", fmt.Errorf("unknown stack %q", c.Stack)
	}
}

func listen(ctx context.Context, c bench.Case) (net.Listener, error) {
	t, err := target(c)
	if err != nil {
		return nil, err
	}
	return config(c).Listen(ctx, t)
}

// config is the balanced mode of shm, which is the default.
func config(c bench.Case) *dialer.Config {
	return &dialer.Config{Shm: &shmconn.Config{RingSize: c.Int(setRing)}}
}

type dialFunc func(ctx context.Context, _ string) (net.Conn, error)

// dialWith is how the client connects: the same option of gRPC on all stacks.
func dialWith(c bench.Case) (dialFunc, error) {
	if c.Stack == bufconnStack {
		lis := bufconn.Listen(256 << 10)
		go func() { _ = newServer(c).Serve(lis) }()
		return func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }, nil
	}
	t, err := target(c)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _ string) (net.Conn, error) { return config(c).Dial(ctx, t) }, nil
}
