package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// Latencies are durations of calls, in nanoseconds.
type Latencies struct{ P50, P99 int64 }

func measure(n int, call func() error) (Latencies, error) {
	durations := make([]int64, n)
	for i := -n / 10; i < n; i++ { // the first ones warm up
		start := time.Now()
		if err := call(); err != nil {
			return Latencies{}, err
		}
		durations[max(i, 0)] = time.Since(start).Nanoseconds()
	}
	slices.Sort(durations)
	return Latencies{durations[n/2], durations[n*99/100]}, nil
}

// Measure calls a Python function of one text over its link, n times.
func (r *reverse) Measure(ctx context.Context, name string, n int) (Latencies, error) {
	call, err := host.Require[func(context.Context, string) (string, error)](ctx, r.host, name)
	if err != nil {
		return Latencies{}, err
	}
	return measure(n, func() error {
		text, err := call(ctx, "Ann")
		if err == nil && text != "Ann" {
			return fmt.Errorf("%s answers %q", name, text)
		}
		return err
	})
}

// MeasurePlain does the same with stock gRPC and a Greeter at target.
func (r *reverse) MeasurePlain(ctx context.Context, target string, n int) (Latencies, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return Latencies{}, err
	}
	defer conn.Close()
	client := greeterpb.NewGreeterClient(conn)
	return measure(n, func() error {
		reply, err := client.Greet(ctx, &greeterpb.GreetRequest{Name: "Ann"})
		if err == nil && reply.GetText() != "Ann" {
			return fmt.Errorf("the Greeter at %s answers %q", target, reply.GetText())
		}
		return err
	})
}

// servePlain serves the Greeter with stock gRPC, for comparison.
func servePlain(target string, g greeter) (stop func(), err error) {
	lis, err := net.Listen("unix", strings.TrimPrefix(target, "unix://"))
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer()
	greeterpb.RegisterGreeterServer(s, g)
	go func() {
		if err := s.Serve(lis); err != nil {
			fmt.Println("the plain server has failed:", err)
		}
	}()
	return s.Stop, nil
}
