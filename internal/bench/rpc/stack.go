package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/carp-rpc/carp-go/internal/bench"
	"github.com/carp-rpc/carp-go/shmconn"
)

// The stacks.
const (
	unixStack    = "unix"
	shmStack     = "shm"
	bufconnStack = "bufconn" // both ends in the client's process: the floor of any net.Conn
)

// Settings of gRPC, in Case.Set, for both ends.
const (
	setWindow = "window" // bytes of the HTTP/2 windows of streams and connections
	setBuffer = "buffer" // bytes of the read and write buffers
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

func listen(c bench.Case) (net.Listener, error) {
	switch c.Stack {
	case unixStack:
		return net.Listen("unix", c.Addr)
	case shmStack:
		return shmconn.Listen(c.Addr, nil)
	default:
		return nil, fmt.Errorf("unknown stack %q", c.Stack)
	}
}

type dialFunc func(ctx context.Context, _ string) (net.Conn, error)

func dialer(c bench.Case) (dialFunc, error) {
	switch c.Stack {
	case unixStack:
		return func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", c.Addr)
		}, nil
	case shmStack:
		return func(ctx context.Context, _ string) (net.Conn, error) {
			return shmconn.Dial(ctx, c.Addr, nil)
		}, nil
	case bufconnStack:
		lis := bufconn.Listen(256 << 10)
		go func() { _ = newServer(c).Serve(lis) }()
		return func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }, nil
	default:
		return nil, fmt.Errorf("unknown stack %q", c.Stack)
	}
}
