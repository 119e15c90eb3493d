package otel_test

import (
	"context"
	"errors"
	"io"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// service does what the requests say.
type service struct {
	pb.UnimplementedTestServiceServer

	trace   trace.Tracer
	started chan struct{} // EmptyCall has begun
	release chan struct{} // EmptyCall may end
	self    pb.TestServiceClient
}

// UnaryCall fails as it is asked to. A request for the user's name is answered with the
// baggage that a second call finds, which is made from the handler, in a span of its own.
func (s *service) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	switch {
	case r.GetResponseStatus() != nil:
		return nil, status.Error(codes.Code(r.GetResponseStatus().GetCode()), r.GetResponseStatus().GetMessage())
	case r.GetFillUsername():
		ctx, span := s.trace.Start(ctx, "inside the handler")
		defer span.End()
		return s.self.UnaryCall(ctx, &pb.SimpleRequest{})
	}
	return &pb.SimpleResponse{Username: baggage.FromContext(ctx).Member("user").Value()}, nil
}

// EmptyCall waits for the end of its call, and for the caller to have seen it.
func (s *service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	close(s.started)
	<-ctx.Done()
	<-s.release
	return nil, status.Error(codes.Aborted, "given up")
}

func (*service) StreamingOutputCall(r *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for range r.GetResponseParameters() {
		if err := out.Send(&pb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func (*service) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	for {
		_, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&pb.StreamingInputCallResponse{})
		}
		if err != nil {
			return err
		}
	}
}

func (*service) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.DataLoss, "the end")
		}
		if err != nil {
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}
