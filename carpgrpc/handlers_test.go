package carpgrpc_test

import (
	"context"
	"net"
	"runtime"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
)

type (
	request  = pb.SimpleRequest
	reply    = pb.SimpleResponse
	incoming = grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]
	outgoing = grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]
)

// handlers are a service of functions. What is nil echoes.
type handlers struct {
	service

	unary  func(context.Context, *request) (*reply, error)
	stream func(incoming) error
}

func (h handlers) UnaryCall(ctx context.Context, r *request) (*reply, error) {
	if h.unary == nil {
		return h.service.UnaryCall(ctx, r)
	}
	return h.unary(ctx, r)
}

func (h handlers) FullDuplexCall(s incoming) error {
	if h.stream == nil {
		return h.service.FullDuplexCall(s)
	}
	return h.stream(s)
}

func body(b []byte) *pb.Payload { return &pb.Payload{Body: b} }

func newServer(h handlers, opts ...carpgrpc.ServerOption) *carpgrpc.Server {
	srv := carpgrpc.NewServer(append([]carpgrpc.ServerOption{plain()}, opts...)...)
	pb.RegisterTestServiceServer(srv, h)
	return srv
}

func serveHandlers(tb testing.TB, h handlers, lis net.Listener, opts ...carpgrpc.ServerOption) *carpgrpc.Server {
	tb.Helper()
	srv := newServer(h, opts...)
	start(tb, srv, lis)
	return srv
}

// direct is a listener and its target whose connections speak the direct transport. On
// systems without shared memory there is nothing to test, and the test ends.
func direct(tb testing.TB) (net.Listener, string) {
	tb.Helper()
	target, ok := targets(tb)["shm"]
	if !ok {
		if runtime.GOOS == "linux" {
			tb.Fatal("no shared memory on Linux")
		}
		tb.Skip("this system has no shared memory")
	}
	lis := listen(tb, target)
	return lis, dialer.TargetOf(lis.Addr())
}

// directClient is a client that has been seen to speak the direct transport.
func directClient(tb testing.TB, target string, opts ...carpgrpc.ClientOption) (*carpgrpc.ClientConn, pb.TestServiceClient) {
	tb.Helper()
	cc := newClient(tb, target, opts...)
	c := pb.NewTestServiceClient(cc)
	if _, err := c.EmptyCall(tb.Context(), &pb.Empty{}); err != nil {
		tb.Fatal(err)
	}
	if got := cc.Transport(); got != carpgrpc.Direct {
		tb.Fatalf("the transport is %q, want %q", got, carpgrpc.Direct)
	}
	return cc, c
}
