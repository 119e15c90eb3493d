package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// Stream calls a streaming method of a BenchmarkService that a Python process
// serves, with the generated client: one request for each size. It returns the
// sizes of the replies, or their texts.
func (r *reverse) Stream(ctx context.Context, method string, sizes []int) ([]any, error) {
	conn, err := r.host.RequireConn(ctx, testpb.BenchmarkService_ServiceDesc.ServiceName)
	if err != nil {
		return nil, err
	}
	client := testpb.NewBenchmarkServiceClient(conn)
	switch method {
	case "StreamingCall":
		s, err := client.StreamingCall(ctx)
		if err != nil {
			return nil, err
		}
		sent := make(chan error, 1)
		go func() { sent <- errors.Join(sendAll(s, sizes), s.CloseSend()) }()
		got, err := receiveAll(s)
		return got, errors.Join(err, <-sent)
	case "StreamingFromServer":
		s, err := client.StreamingFromServer(ctx, request(sizes[0]))
		if err != nil {
			return nil, err
		}
		return receiveAll(s)
	case "StreamingFromClient":
		s, err := client.StreamingFromClient(ctx)
		if err != nil {
			return nil, err
		}
		if err := sendAll(s, sizes); err != nil {
			return nil, err
		}
		reply, err := s.CloseAndRecv()
		return []any{reply.GetUsername()}, err
	}
	return nil, fmt.Errorf("no method %s", method)
}

func request(size int) *testpb.SimpleRequest {
	return &testpb.SimpleRequest{ResponseSize: int32(size), Payload: &testpb.Payload{Body: make([]byte, size)}}
}

func sendAll(s grpc.ClientStream, sizes []int) error {
	for _, size := range sizes {
		if err := s.SendMsg(request(size)); err != nil {
			return err
		}
	}
	return nil
}

func receiveAll(s interface {
	Recv() (*testpb.SimpleResponse, error)
}) ([]any, error) {
	var got []any
	for {
		reply, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, len(reply.GetPayload().GetBody()))
	}
}
