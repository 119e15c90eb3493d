package main

import (
	"context"
	"encoding/binary"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// What a handler does before it answers, in Case.Set.
const (
	workNone  = ""
	workSleep = "sleep" // 1 ms
	workBurn  = "burn"  // 100 µs of CPU
	workMixed = "mixed" // 5 µs of CPU, or a sleep of 5 ms if the request is marked slow
)

// slowMark in SimpleRequest.ResponseSize makes a call slow.
const slowMark = 1

func work(kind string, req *testgrpc.SimpleRequest) {
	switch {
	case kind == workSleep:
		time.Sleep(time.Millisecond)
	case kind == workBurn:
		burn(100 * time.Microsecond)
	case kind == workMixed && req.GetResponseSize() == slowMark:
		time.Sleep(5 * time.Millisecond)
	case kind == workMixed:
		burn(5 * time.Microsecond)
	}
}

func burn(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// echo is gRPC's own benchmark service, as far as it is needed here.
type echo struct {
	testgrpc.UnimplementedBenchmarkServiceServer
	work string
}

func (e *echo) UnaryCall(_ context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if e.work != workNone {
		work(e.work, req)
	}
	return &testgrpc.SimpleResponse{Payload: req.GetPayload()}, nil
}

func (e *echo) StreamingCall(s grpc.BidiStreamingServer[testgrpc.SimpleRequest, testgrpc.SimpleResponse]) error {
	for {
		req, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client ended the stream, or is gone
		}
		if err := s.Send(&testgrpc.SimpleResponse{Payload: req.GetPayload()}); err != nil {
			return err
		}
	}
}

// StreamingFromServer sends what it was sent, for as long as somebody listens, numbered in
// the first bytes.
func (e *echo) StreamingFromServer(req *testgrpc.SimpleRequest, s grpc.ServerStreamingServer[testgrpc.SimpleResponse]) error {
	res := &testgrpc.SimpleResponse{Payload: req.GetPayload()}
	for seq := uint64(1); ; seq++ {
		binary.LittleEndian.PutUint64(res.Payload.Body, seq)
		if err := s.Send(res); err != nil {
			return err
		}
	}
}
