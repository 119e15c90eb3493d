package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/bench"
)

// echoServer is gRPC's own benchmark service, as far as it is needed here.
type echoServer struct {
	testgrpc.UnimplementedBenchmarkServiceServer
}

func (echoServer) UnaryCall(_ context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: req.GetPayload()}, nil
}

// echo is what hosts export.
func echo(_ context.Context, body []byte) ([]byte, error) { return body, nil }

const echoName = "Bench.Echo"

func serve(ctx context.Context, c bench.Case, ready func()) error {
	switch c.Stack {
	case unixStack:
		lis, err := net.Listen("unix", c.Addr)
		if err != nil {
			return err
		}
		s := grpc.NewServer()
		testgrpc.RegisterBenchmarkServiceServer(s, echoServer{})
		defer context.AfterFunc(ctx, s.Stop)()
		ready()
		return s.Serve(lis)
	case localStack: // the other process has all
		ready()
		<-ctx.Done()
		return nil
	}
	h, err := exporter(c)
	if err != nil {
		return err
	}
	defer h.Close()
	t, err := target(c)
	if err != nil {
		return err
	}
	if _, err := h.Listen(ctx, t); err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return nil
}

// exporter is the host with the function, and interceptors around its calls.
func exporter(c bench.Case) (*host.Host, error) {
	var opts []host.Option
	for range c.Int(setAround) {
		opts = append(opts, host.WithInterceptor(pass))
	}
	h, err := host.New("exporter", opts...)
	if err != nil {
		return nil, err
	}
	if _, err := h.Export(echoName, echo); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func pass(ctx context.Context, _ *host.CallInfo, next func(context.Context) error) error {
	return next(ctx)
}

func target(c bench.Case) (string, error) {
	switch c.Stack {
	case shmStack:
		return "shm://" + c.Addr, nil
	case hostUnixStack:
		return "unix://" + c.Addr, nil
	default:
		return "", fmt.Errorf("unknown stack %q", c.Stack)
	}
}

// call sends bytes and returns what comes back.
type call func(context.Context, []byte) ([]byte, error)

// dial returns how calls are made, and what ends that.
func dial(ctx context.Context, c bench.Case) (call, func(), error) {
	if c.Stack == unixStack {
		return dialGRPC(c)
	}
	h, err := caller(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	f, err := host.Require[func(context.Context, []byte) ([]byte, error)](ctx, h, echoName)
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	return f, func() { h.Close() }, nil
}

// caller is the host that calls: the exporter itself, or one that is linked with it.
func caller(ctx context.Context, c bench.Case) (*host.Host, error) {
	if c.Stack == localStack {
		return exporter(c)
	}
	t, err := target(c)
	if err != nil {
		return nil, err
	}
	h, err := host.New("caller")
	if err != nil {
		return nil, err
	}
	if _, err := h.Connect(ctx, t); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func dialGRPC(c bench.Case) (call, func(), error) {
	cc, err := grpc.NewClient("unix://"+c.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	stub := testgrpc.NewBenchmarkServiceClient(cc)
	return func(ctx context.Context, body []byte) ([]byte, error) {
		res, err := stub.UnaryCall(ctx, &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: body}})
		return res.GetPayload().GetBody(), err
	}, func() { _ = cc.Close() }, nil
}
