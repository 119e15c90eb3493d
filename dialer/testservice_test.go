package dialer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/dialer"
)

// service echoes payloads over each kind of call.
type service struct {
	pb.UnimplementedTestServiceServer
	block chan struct{} // EmptyCall announces itself here and waits for its context; nil: it returns
}

func (s service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	if s.block == nil {
		return &pb.Empty{}, nil
	}
	s.block <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (service) UnaryCall(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: r.Payload}, nil
}

func (service) StreamingOutputCall(r *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for _, p := range r.ResponseParameters {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.Size)}}); err != nil {
			return err
		}
	}
	return nil
}

func (service) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	var sum int32
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: sum})
		}
		if err != nil {
			return err
		}
		sum += int32(len(r.Payload.GetBody()))
	}
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

// serve runs a stock gRPC server on the listeners until the test ends.
func serve(t *testing.T, s service, opts []grpc.ServerOption, listeners ...net.Listener) *grpc.Server {
	t.Helper()
	srv := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(srv, s)
	done := make(chan error, len(listeners))
	for _, lis := range listeners {
		go func() { done <- srv.Serve(lis) }()
	}
	t.Cleanup(func() {
		srv.Stop()
		for range listeners {
			if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // Stop may be first
				t.Errorf("Serve = %v", err)
			}
		}
	})
	return srv
}

// client makes a stock gRPC client of lis.
func client(t *testing.T, cfg *dialer.Config, lis net.Listener) pb.TestServiceClient {
	t.Helper()
	target, opts, err := cfg.GRPC(dialer.TargetOf(lis.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return pb.NewTestServiceClient(cc)
}

// tlsPair returns TLS credentials for the two ends of a connection to 127.0.0.1.
func tlsPair(t *testing.T) (server, client credentials.TransportCredentials) {
	t.Helper()
	// httptest has a certificate for 127.0.0.1 that nothing else trusts.
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	pool := x509.NewCertPool()
	pool.AddCert(https.Certificate())
	return credentials.NewTLS(&tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS13}),
		credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13})
}
