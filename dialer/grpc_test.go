package dialer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// configs returns the configurations of a server and its clients, with TLS on tcp.
func configs(t *testing.T) (server, client *dialer.Config) {
	t.Helper()
	s, c := tlsPair(t)
	return &dialer.Config{TCP: s}, &dialer.Config{TCP: c}
}

func creds(c *dialer.Config) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.Creds(c.Credentials())}
}

// An unmodified grpc-go server and client work over each target.
func TestStockGRPC(t *testing.T) {
	serverCfg, clientCfg := configs(t)
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started := make(chan struct{}, 10)
		serve(t, service{block: started}, creds(serverCfg), lis)
		c := client(t, clientCfg, lis)
		t.Run("unary", func(t *testing.T) { unary(t, c, 64) })
		t.Run("big message", func(t *testing.T) { unary(t, c, 3<<20) })
		t.Run("server stream", func(t *testing.T) { serverStream(t, c) })
		t.Run("client stream", func(t *testing.T) { clientStream(t, c) })
		t.Run("bidirectional stream", func(t *testing.T) { bidiStream(t, c) })
		t.Run("cancel", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-started; cancel() }()
			_, err := c.EmptyCall(ctx, &pb.Empty{})
			wantCode(t, err, codes.Canceled)
		})
		t.Run("deadline", func(t *testing.T) {
			// It must arrive before, which may take a busy machine longer.
			for timeout := time.Second; ; timeout *= 4 {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				_, err := c.EmptyCall(ctx, &pb.Empty{}, grpc.WaitForReady(true))
				cancel()
				wantCode(t, err, codes.DeadlineExceeded)
				select {
				case <-started:
					return
				default:
				}
				if timeout > time.Minute {
					t.Fatal("the call never arrives")
				}
			}
		})
	})
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("error %v, want code %v", err, want)
	}
}

func unary(t *testing.T, c pb.TestServiceClient, size int) {
	t.Helper()
	body := bytes.Repeat([]byte("carp"), size/4)
	reply, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: body}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(reply.GetPayload().GetBody(), body) {
		t.Error("the reply is not what was sent")
	}
}

func serverStream(t *testing.T, c pb.TestServiceClient) {
	t.Helper()
	req := &pb.StreamingOutputCallRequest{}
	for n := range int32(100) {
		req.ResponseParameters = append(req.ResponseParameters, &pb.ResponseParameters{Size: n * 1000})
	}
	s, err := c.StreamingOutputCall(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.GetPayload().GetBody()); got != n*1000 {
			t.Errorf("message %d has %d bytes", n, got)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v, want io.EOF", err)
	}
}

func clientStream(t *testing.T, c pb.TestServiceClient) {
	t.Helper()
	s, err := c.StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 10_000)}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.CloseAndRecv()
	if err != nil || r.GetAggregatedPayloadSize() != 1_000_000 {
		t.Errorf("sum %d, %v, want 1000000", r.GetAggregatedPayloadSize(), err)
	}
}

func bidiStream(t *testing.T, c pb.TestServiceClient) {
	t.Helper()
	s, err := c.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		body := bytes.Repeat([]byte{byte(n)}, n)
		if err := s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: body}}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if err != nil || !bytes.Equal(r.GetPayload().GetBody(), body) {
			t.Fatalf("message %d came back as %v, %v", n, r.GetPayload().GetBody(), err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last message: %v, want io.EOF", err)
	}
}

// GracefulStop waits for the call in flight and no longer.
func TestStockGracefulStop(t *testing.T) {
	serverCfg, clientCfg := configs(t)
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started := make(chan struct{})
		srv := serve(t, service{block: started}, creds(serverCfg), lis)
		c := client(t, clientCfg, lis)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		called := make(chan error, 1)
		go func() {
			_, err := c.EmptyCall(ctx, &pb.Empty{})
			called <- err
		}()
		<-started
		stopped := make(chan struct{})
		go func() { srv.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
			t.Error("GracefulStop returned with a call in flight")
		case err := <-called:
			t.Errorf("GracefulStop ended a call: %v", err)
		case <-time.After(50 * time.Millisecond): // neither is what should happen
		}
		cancel()
		wantCode(t, <-called, codes.Canceled)
		<-stopped
	})
}

// Whatever characters a path has, gRPC reaches it: its own parser takes targets for
// URLs.
func TestGRPCOddPaths(t *testing.T) {
	for _, name := range []string{"a b", "100%", "%41", "q?x", "h#x", "c:d", "ü", "[x]"} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			lis := listen(t, "unix://"+filepath.Join(t.TempDir(), name))
			serve(t, service{}, creds(nil), lis)
			unary(t, client(t, nil, lis), 64)
		})
	}
}

func TestGRPCRelativePath(t *testing.T) {
	leak.Check(t)
	t.Chdir(t.TempDir())
	for _, target := range []string{"unix:u", "shm:s:1"} {
		if strings.HasPrefix(target, "shm") && targets(t)["shm"] == "" {
			continue
		}
		lis := listen(t, target)
		serve(t, service{}, creds(nil), lis)
		unary(t, client(t, nil, lis), 64)
	}
}

// Strict servers refuse a path as :authority.
func TestGRPCAuthority(t *testing.T) {
	serverCfg, clientCfg := configs(t)
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		seen := make(chan string, 1)
		serve(t, service{}, append(creds(serverCfg), grpc.UnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				seen <- strings.Join(md[":authority"], ",")
				return next(ctx, req)
			})), lis)
		unary(t, client(t, clientCfg, lis), 64)
		want := "localhost"
		if lis.Addr().Network() == "tcp" {
			want = lis.Addr().String()
		}
		if got := <-seen; got != want {
			t.Errorf(":authority = %q, want %q", got, want)
		}
	})
}

// What a caller is told when there is no server, and that a server that comes
// later is found.
func TestGRPCNoServer(t *testing.T) {
	_, clientCfg := configs(t)
	for name, target := range targets(t) {
		if name == "tcp" {
			continue // gRPC's own dialer
		}
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			grpcTarget, opts, err := clientCfg.GRPC(target)
			if err != nil {
				t.Fatal(err)
			}
			cc, err := grpc.NewClient(grpcTarget, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			c := pb.NewTestServiceClient(cc)
			_, err = c.UnaryCall(t.Context(), &pb.SimpleRequest{})
			wantCode(t, err, codes.Unavailable)
			for _, want := range []string{target, "has the server started?"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			serve(t, service{}, creds(nil), listen(t, target))
			cc.ResetConnectBackoff()
			if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.WaitForReady(true)); err != nil {
				t.Errorf("once the server is there: %v", err)
			}
		})
	}
}

func TestGRPCBadTargets(t *testing.T) {
	tests := []struct {
		target string
		cfg    *dialer.Config
		cause  error
	}{
		{"localhost:80", nil, dialer.ErrUnknownScheme},
		{"tcp://localhost:80", nil, dialer.ErrNoCredentials},
		{"tcp://localhost:80", &dialer.Config{}, dialer.ErrNoCredentials},
		{"tcp://localhost:0", nil, dialer.ErrBadTarget},
	}
	for _, tt := range tests {
		_, _, err := tt.cfg.GRPC(tt.target)
		if !errors.Is(err, tt.cause) || !strings.Contains(err.Error(), tt.target) {
			t.Errorf("GRPC(%q) = %v, want %v and the target", tt.target, err, tt.cause)
		}
	}
}

// A gRPC client that comes to the wrong kind of socket gets an error, not a wait.
func TestGRPCWrongKindOfSocket(t *testing.T) {
	leak.Check(t)
	shm, ok := targets(t)["shm"]
	if !ok {
		return
	}
	serve(t, service{}, creds(nil), listen(t, shm))
	target, opts, err := dialer.GRPC("unix" + strings.TrimPrefix(shm, "shm"))
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	_, err = pb.NewTestServiceClient(cc).UnaryCall(t.Context(), &pb.SimpleRequest{})
	wantCode(t, err, codes.Unavailable)
	t.Log(err)
}
