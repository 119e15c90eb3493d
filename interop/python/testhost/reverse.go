package main

import (
	"context"
	"errors"
	"time"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/host"
)

// reverse calls what a linked Python process exports.
type reverse struct {
	host *host.Host
}

// ConnectServer links the host with a gRPC server that is no host.
func (r *reverse) ConnectServer(ctx context.Context, target string, services []string) error {
	_, err := r.host.ConnectServer(ctx, target, services...)
	return err
}

// Await waits until a host exports a name.
func (r *reverse) Await(ctx context.Context, name string) error {
	_, err := host.Require[func(context.Context) error](ctx, r.host, name)
	return err
}

// Call calls a function by name.
func (r *reverse) Call(ctx context.Context, name, codec string, args []any, kwargs map[string]any) (any, error) {
	all := append([]any{host.WithCodec(codec)}, args...)
	if len(kwargs) > 0 {
		all = append(all, host.Kwargs(kwargs))
	}
	return host.Call[any](ctx, r.host, name, all...)
}

// Outcome is how a call ended.
type Outcome struct {
	Code, Exception, Message string
	Remote                   bool
}

// Fail calls a function that is to fail, and tells how it did.
func (r *reverse) Fail(ctx context.Context, name string, args []any, timeout time.Duration) (Outcome, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	_, err := host.Call[any](ctx, r.host, name, args...)
	var e *host.Error
	if !errors.As(err, &e) {
		return Outcome{}, errors.New("the call didn't fail as calls do")
	}
	return Outcome{Code: e.Code().String(), Exception: e.Exception(), Message: e.Message(), Remote: e.Remote()}, nil
}

// AddAll adds numbers with a required function of Python, from many goroutines.
func (r *reverse) AddAll(ctx context.Context, name string, count int) (int64, error) {
	add, err := host.Require[func(context.Context, int64, int64) (int64, error)](ctx, r.host, name)
	if err != nil {
		return 0, err
	}
	type result struct {
		sum int64
		err error
	}
	results := make(chan result)
	for i := range count {
		go func() {
			sum, err := add(ctx, int64(i), 1)
			results <- result{sum, err}
		}()
	}
	var total int64
	for range count {
		r := <-results
		err = errors.Join(err, r.err)
		total += r.sum
	}
	return total, err
}

// TypedStats calls a method of a plain server as a function of messages.
func (r *reverse) TypedStats(ctx context.Context, rpcs int32) (map[string]int32, error) {
	stats, err := host.Require[func(context.Context, *testpb.LoadBalancerStatsRequest) (*testpb.LoadBalancerStatsResponse, error)](
		ctx, r.host, testpb.LoadBalancerStatsService_ServiceDesc.ServiceName+".GetClientStats", host.WithCodec("proto"))
	if err != nil {
		return nil, err
	}
	reply, err := stats(ctx, &testpb.LoadBalancerStatsRequest{NumRpcs: rpcs})
	return reply.GetRpcsByPeer(), err
}

// Stats calls a generated service that a Python process serves, with the
// generated client.
func (r *reverse) Stats(ctx context.Context, rpcs int32) (map[string]int32, error) {
	conn, err := r.host.RequireConn(ctx, testpb.LoadBalancerStatsService_ServiceDesc.ServiceName)
	if err != nil {
		return nil, err
	}
	client := testpb.NewLoadBalancerStatsServiceClient(conn)
	reply, err := client.GetClientStats(ctx, &testpb.LoadBalancerStatsRequest{NumRpcs: rpcs})
	return reply.GetRpcsByPeer(), err
}
