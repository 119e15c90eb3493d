package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// testService is the service that gRPC's interoperability cases call. grpc-go's
// own implementation needs modules that nothing else here needs.
type testService struct {
	testpb.UnimplementedTestServiceServer
}

// The metadata that the case custom_metadata sends and wants back.
const (
	initialKey  = "x-grpc-test-echo-initial"
	trailingKey = "x-grpc-test-echo-trailing-bin"
)

func echoMetadata(ctx context.Context, header, trailer func(metadata.MD) error) error {
	md, _ := metadata.FromIncomingContext(ctx)
	var errs []error
	if v := md.Get(initialKey); len(v) > 0 {
		errs = append(errs, header(metadata.Pairs(initialKey, v[0])))
	}
	if v := md.Get(trailingKey); len(v) > 0 {
		errs = append(errs, trailer(metadata.Pairs(trailingKey, v[0])))
	}
	return errors.Join(errs...)
}

func echoStatus(s *testpb.EchoStatus) error {
	if s == nil || s.GetCode() == 0 {
		return nil
	}
	return status.Error(codes.Code(s.GetCode()), s.GetMessage())
}

func payload(size int32) *testpb.Payload { return &testpb.Payload{Body: make([]byte, size)} }

func (testService) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (testService) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	err := echoMetadata(ctx,
		func(md metadata.MD) error { return grpc.SetHeader(ctx, md) },
		func(md metadata.MD) error { return grpc.SetTrailer(ctx, md) })
	if err == nil {
		err = echoStatus(r.GetResponseStatus())
	}
	if err != nil {
		return nil, err
	}
	return &testpb.SimpleResponse{Payload: payload(r.GetResponseSize())}, nil
}

// responses sends what a request of a stream asks for.
func responses(r *testpb.StreamingOutputCallRequest, stream grpc.ServerStream) error {
	for _, p := range r.GetResponseParameters() {
		if us := p.GetIntervalUs(); us > 0 {
			select {
			case <-time.After(time.Duration(us) * time.Microsecond):
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		if err := stream.SendMsg(&testpb.StreamingOutputCallResponse{Payload: payload(p.GetSize())}); err != nil {
			return err
		}
	}
	return nil
}

func (testService) StreamingOutputCall(r *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	return responses(r, stream)
}

func (testService) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	var sum int32
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: sum})
		}
		if err != nil {
			return err
		}
		sum += int32(len(r.GetPayload().GetBody()))
	}
}

func (testService) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	err := echoMetadata(stream.Context(), stream.SetHeader, func(md metadata.MD) error {
		stream.SetTrailer(md)
		return nil
	})
	for err == nil {
		var r *testpb.StreamingOutputCallRequest
		if r, err = stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = echoStatus(r.GetResponseStatus())
		}
		if err == nil {
			err = responses(r, stream)
		}
	}
	return err
}
