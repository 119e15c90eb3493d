package carpgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// service echoes.
type service struct {
	pb.UnimplementedTestServiceServer

	started chan struct{} // EmptyCall announces itself here and waits for its context; nil: it returns
}

func (s service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	if s.started == nil {
		return &pb.Empty{}, nil
	}
	s.started <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (service) UnaryCall(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: r.Payload}, nil
}

func (service) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// plain text on purpose.
func plain() carpgrpc.ServerOption { return carpgrpc.Creds(insecure.NewCredentials()) }

// serve starts a server of service on lis. It allows plain text on tcp.
func serve(t *testing.T, s service, lis net.Listener, opts ...carpgrpc.ServerOption) *carpgrpc.Server {
	t.Helper()
	srv := carpgrpc.NewServer(append([]carpgrpc.ServerOption{plain()}, opts...)...)
	pb.RegisterTestServiceServer(srv, s)
	start(t, srv, lis)
	return srv
}

func clientOf(t *testing.T, lis net.Listener, opts ...carpgrpc.ClientOption) pb.TestServiceClient {
	t.Helper()
	return pb.NewTestServiceClient(newClient(t, dialer.TargetOf(lis.Addr()), opts...))
}

// forEachTarget runs fn with a listener on each kind of target.
func forEachTarget(t *testing.T, fn func(t *testing.T, lis net.Listener)) {
	t.Helper()
	for name, target := range targets(t) {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			fn(t, listen(t, target))
		})
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("error %v, want code %v", err, want)
	}
}

// unary makes a unary call.
func unary(ctx context.Context, c pb.TestServiceClient, size int, opts ...grpc.CallOption) error {
	r, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, size)}}, opts...)
	if err == nil && len(r.GetPayload().GetBody()) != size {
		err = errors.New("the reply is not what was sent")
	}
	return err
}

// stream makes a call whose handler is a stream's.
func stream(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(&pb.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// unknown calls what nobody registered.
func unknown(ctx context.Context, cc grpc.ClientConnInterface) error {
	return cc.Invoke(ctx, "/no.such.Service/Method", &pb.Empty{}, &pb.Empty{})
}
