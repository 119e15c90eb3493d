package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/bench"
	"github.com/carp-rpc/carp-go/shmconn"
)

// The stacks.
const (
	unixStack   = "grpc-go, unix"
	directStack = "direct"
)

// How the direct transport waits.
const (
	waitSpin = ""     // as it does by default
	waitPark = "park" // it never spins
)

func shmConfig(c bench.Case) (*shmconn.Config, error) {
	switch c.Set[setWait] {
	case waitSpin:
		return nil, nil
	case waitPark:
		return &shmconn.Config{Wait: shmconn.PowerFirst}, nil
	default:
		return nil, fmt.Errorf("unknown %s=%s", setWait, c.Set[setWait])
	}
}

// server is what both stacks' servers are.
type server interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	Stop()
}

func newServer(c bench.Case) (server, net.Listener, error) {
	if c.Stack == unixStack {
		lis, err := net.Listen("unix", c.Addr)
		return grpc.NewServer(), lis, err
	}
	cfg, err := shmConfig(c)
	if err != nil {
		return nil, nil, err
	}
	lis, err := shmconn.Listen(c.Addr, cfg)
	return carpgrpc.NewServer(), lis, err
}

func serve(ctx context.Context, c bench.Case, ready func()) error {
	s, lis, err := newServer(c)
	if err != nil {
		return err
	}
	testgrpc.RegisterBenchmarkServiceServer(s, &echo{work: c.Set[setWork]})
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	ready()
	return s.Serve(lis)
}

// conn is what both stacks' clients are.
type conn interface {
	grpc.ClientConnInterface
	Close() error
}

func dial(c bench.Case) (conn, error) {
	if c.Stack == unixStack {
		return grpc.NewClient("unix://"+c.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	cfg, err := shmConfig(c)
	if err != nil {
		return nil, err
	}
	return carpgrpc.NewClient("shm://"+c.Addr, carpgrpc.WithShm(cfg))
}

// check makes sure that it is the direct transport that is measured.
func check(c bench.Case, cc conn) error {
	if c.Stack != directStack {
		return nil
	}
	if t := cc.(*carpgrpc.ClientConn).Transport(); t != carpgrpc.Direct {
		return fmt.Errorf("the connection's transport is %s", t)
	}
	return nil
}
