package main

import (
	"context"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// echoServer is gRPC's own benchmark service, as far as it is needed here.
type echoServer struct {
	testgrpc.UnimplementedBenchmarkServiceServer
}

func (echoServer) UnaryCall(_ context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: req.GetPayload()}, nil
}

func newServer(c bench.Case) *grpc.Server {
	s := grpc.NewServer(serverOptions(c)...)
	testgrpc.RegisterBenchmarkServiceServer(s, echoServer{})
	return s
}

func serve(ctx context.Context, c bench.Case, ready func()) error {
	if c.Stack == bufconnStack {
		ready()
		<-ctx.Done()
		return nil
	}
	lis, err := listen(ctx, c)
	if err != nil {
		return err
	}
	s := newServer(c)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	ready()
	return s.Serve(lis)
}
