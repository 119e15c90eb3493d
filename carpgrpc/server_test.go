package carpgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// refusingCredentials refuse every client.
type refusingCredentials struct {
	credentials.TransportCredentials

	asked atomic.Bool
}

func (c *refusingCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c.asked.Store(true)
	return nil, nil, errors.New("refused")
}

func TestServeTCPNeedsCreds(t *testing.T) {
	leak.Check(t)
	lis := listen(t, "tcp://127.0.0.1:0")
	err := carpgrpc.NewServer().Serve(lis)
	if !errors.Is(err, dialer.ErrNoCredentials) || !strings.Contains(err.Error(), lis.Addr().String()) {
		t.Errorf("Serve = %v, want ErrNoCredentials and the address", err)
	}
	if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve left the listener open (%v)", err)
	}
}

// Options of grpc-go's might hold credentials. If they don't, connections are refused
// where a server without would serve in plain text.
func TestOpaqueOptionsDoNotOpenTCP(t *testing.T) {
	leak.Check(t)
	lis := listen(t, "tcp://127.0.0.1:0")
	srv := carpgrpc.NewServer(carpgrpc.WithServerOptions(grpc.MaxRecvMsgSize(1 << 20)))
	pb.RegisterTestServiceServer(srv, service{})
	start(t, srv, lis)
	wantCode(t, unary(t.Context(), clientOf(t, lis), 64), codes.Unavailable)

	cc, err := carpgrpc.NewClient(dialer.TargetOf(lis.Addr()), carpgrpc.WithDialOptions(grpc.WithUserAgent("x")))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	err = unary(t.Context(), pb.NewTestServiceClient(cc), 64)
	wantCode(t, err, codes.Unavailable)
	if !strings.Contains(err.Error(), dialer.ErrNoCredentials.Error()) {
		t.Errorf("the client's error %q does not say that credentials are missing", err)
	}
}

// One server on listeners of all kinds at once.
func TestServeAllAtOnce(t *testing.T) {
	leak.Check(t)
	srv := carpgrpc.NewServer(plain())
	pb.RegisterTestServiceServer(srv, service{})
	var all []pb.TestServiceClient
	for _, target := range targets(t) {
		lis := listen(t, target)
		start(t, srv, lis)
		all = append(all, clientOf(t, lis))
	}
	for _, c := range all {
		if err := unary(t.Context(), c, 64); err != nil {
			t.Error(err)
		}
		if err := stream(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
}

func TestServeAfterStop(t *testing.T) {
	leak.Check(t)
	srv := carpgrpc.NewServer()
	srv.Stop()
	lis := listen(t, targets(t)["unix"])
	if err := srv.Serve(lis); !errors.Is(err, grpc.ErrServerStopped) {
		t.Errorf("Serve after Stop = %v, want ErrServerStopped", err)
	}
}

func TestHealthAndReflection(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		srv := carpgrpc.NewServer(plain())
		healthpb.RegisterHealthServer(srv, health.NewServer())
		reflection.Register(srv)
		if _, ok := srv.GetServiceInfo()["grpc.health.v1.Health"]; !ok {
			t.Errorf("GetServiceInfo = %v", srv.GetServiceInfo())
		}
		start(t, srv, lis)
		cc := newClient(t, dialer.TargetOf(lis.Addr()))
		checkHealth(t, cc)
		checkReflection(t, cc)
	})
}

func checkHealth(t *testing.T, cc grpc.ClientConnInterface) {
	t.Helper()
	c := healthpb.NewHealthClient(cc)
	reply, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Check = %v, %v", reply, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	reply, err = w.Recv()
	if err != nil || reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Watch = %v, %v", reply, err)
	}
}

func checkReflection(t *testing.T, cc grpc.ClientConnInterface) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionpb.ServerReflectionRequest, want string) {
		t.Helper()
		if err := s.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := s.Recv()
		if err != nil || !strings.Contains(answer.String(), want) {
			t.Errorf("reflection: %v, %v, want %s in it", answer, err, want)
		}
	}
	ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}, "grpc.health.v1.Health")
	ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "grpc.health.v1.Health"},
	}, "HealthCheckRequest")
}

// silent connects n times and says nothing.
func silent(t *testing.T, lis net.Listener, n int) {
	t.Helper()
	for range n {
		c, err := dialer.Dial(t.Context(), dialer.TargetOf(lis.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

// Peers that connect and say nothing don't hold up the end of a server.
func TestStopWithSilentPeers(t *testing.T) {
	for name, stop := range map[string]func(*carpgrpc.Server){
		"Stop":         (*carpgrpc.Server).Stop,
		"GracefulStop": (*carpgrpc.Server).GracefulStop,
	} {
		t.Run(name, func(t *testing.T) {
			forEachTarget(t, func(t *testing.T, lis net.Listener) {
				t.Helper()
				srv := serve(t, service{}, lis)
				silent(t, lis, 3)
				// A call shows that the silent ones before it have been accepted.
				if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
					t.Fatal(err)
				}
				mustReturn(t, name, func() { stop(srv) })
			})
		})
	}
}

// patience bounds the waits for what must happen, far beyond what a busy machine takes.
const patience = 60 * time.Second

// mustReturn fails if fn takes longer than anything but a hang does.
func mustReturn(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { fn(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s hangs\n%s", what, stacks())
	}
}

// next receives what must come.
func next[T any](tb testing.TB, c <-chan T, what string) (v T) {
	tb.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		tb.Fatalf("%s never comes\n%s", what, stacks())
	}
	return v
}

// stacks are those of all goroutines.
func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// GracefulStop lets the call in flight end by itself, and refuses new ones.
func TestGracefulStop(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		srv := serve(t, service{started: make(chan struct{})}, lis)
		c := clientOf(t, lis)
		s, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		roundTrip := func() {
			t.Helper()
			if err := s.Send(&pb.StreamingOutputCallRequest{}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		roundTrip()
		stopped := make(chan struct{})
		go func() { srv.GracefulStop(); close(stopped) }()
		// New calls are refused once the listener is closed, and from then on
		// the old one still works.
		for unary(t.Context(), c, 64) == nil {
		}
		roundTrip()
		select {
		case <-stopped:
			t.Error("GracefulStop returned with a call in flight")
		default:
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		mustReturn(t, "GracefulStop", func() { <-stopped })
	})
}

func TestStopCutsGracefulStopShort(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started := make(chan struct{})
		srv := serve(t, service{started: started}, lis)
		c := clientOf(t, lis)
		called := make(chan error, 1)
		go func() {
			_, err := c.EmptyCall(t.Context(), &pb.Empty{})
			called <- err
		}()
		<-started
		graceful := make(chan struct{})
		go func() { srv.GracefulStop(); close(graceful) }()
		mustReturn(t, "Stop", srv.Stop)
		mustReturn(t, "GracefulStop", func() { <-graceful })
		wantCode(t, <-called, codes.Unavailable)
	})
}

func TestAllowPeer(t *testing.T) {
	rule := carpgrpc.AllowPeer(func(p dialer.PeerCred) error { return fmt.Errorf("pid %d is not on the list", p.PID) })
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		if lis.Addr().Network() == "tcp" {
			return
		}
		var log recorder
		serve(t, service{}, lis, rule, carpgrpc.Logger(log.logger()))
		err := unary(t.Context(), clientOf(t, lis), 64)
		wantCode(t, err, codes.PermissionDenied)
		if want := fmt.Sprintf("pid %d is not on the list", os.Getpid()); !strings.Contains(status.Convert(err).Message(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
		log.want(t, "level=WARN", "not on the list")

		err = unary(t.Context(), clientOf(t, lis, rule), 64)
		if !strings.Contains(fmt.Sprint(err), "not on the list") || status.Code(err) != codes.Unavailable {
			t.Errorf("a client whose own rule refuses the server got %v", err)
		}
	})
}

func TestServerLogsTransport(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		var log recorder
		serve(t, service{}, lis, carpgrpc.Logger(log.logger()))
		if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
			t.Fatal(err)
		}
		log.want(t, "level=DEBUG", "connection accepted", "transport="+string(transportOf(lis)), lis.Addr().String())
	})
}

// An interceptor that would be dropped may be the one that guards.
func TestInterceptorGivenTwice(t *testing.T) {
	for name, o := range map[string]carpgrpc.ServerOption{
		"UnaryInterceptor":  carpgrpc.UnaryInterceptor(guardUnary),
		"StreamInterceptor": carpgrpc.StreamInterceptor(guardStream),
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "Chain"+name) {
					t.Errorf("%s twice: recovered %v, want a panic that names the remedy", name, r)
				}
			}()
			carpgrpc.NewServer(o, o)
		}()
	}
}

func TestServeForeignListener(t *testing.T) {
	leak.Check(t)
	lis, err := net.Listen("unix", strings.TrimPrefix(targets(t)["unix"], "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, service{}, lis)
	if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
		t.Error(err)
	}
}
