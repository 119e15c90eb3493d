package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// caller calls over the connection that all callers share. Each request differs from
// the one before, and the reply is compared with it.
type caller struct {
	stub testgrpc.BenchmarkServiceClient
	req  *testgrpc.SimpleRequest
	seq  uint64
}

func newCaller(stub testgrpc.BenchmarkServiceClient, size, i int) *caller {
	body := make([]byte, size)
	seed := [32]byte{byte(i)}
	_, _ = rand.NewChaCha8(seed).Read(body)
	return &caller{stub: stub, req: &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: body}}}
}

func (c *caller) do() error {
	c.seq++
	body := c.req.Payload.Body
	binary.LittleEndian.PutUint64(body, c.seq)
	reply, err := c.stub.UnaryCall(context.Background(), c.req)
	if err != nil {
		return err
	}
	if !bytes.Equal(reply.GetPayload().GetBody(), body) {
		return errors.New("the reply differs from the request")
	}
	return nil
}

func connect(_ context.Context, c bench.Case) (bench.Load, error) {
	dial, err := dialWith(c)
	if err != nil {
		return bench.Load{}, err
	}
	opts := append(dialOptions(c), grpc.WithContextDialer(dial))
	cc, err := grpc.NewClient("passthrough:///bench", opts...)
	if err != nil {
		return bench.Load{}, err
	}
	callers := make([]*caller, max(c.Callers, 1))
	for i := range callers {
		callers[i] = newCaller(testgrpc.NewBenchmarkServiceClient(cc), c.Size, i)
	}
	return bench.Load{
		Do:    func(i int) error { return callers[i].do() },
		Close: func() { _ = cc.Close() },
	}, nil
}
