package carpgrpc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/shmconn"
)

func TestNewClientErrors(t *testing.T) {
	tests := []struct {
		target string
		opts   []carpgrpc.ClientOption
		cause  error
	}{
		{"nowhere", nil, dialer.ErrUnknownScheme},
		{"unix:", nil, dialer.ErrBadTarget},
		{"shm:///" + strings.Repeat("x", 200), nil, dialer.ErrTooLong},
		{"tcp://localhost:0", nil, dialer.ErrBadTarget},
		{"tcp://localhost:80", nil, dialer.ErrNoCredentials},
	}
	for _, tt := range tests {
		cc, err := carpgrpc.NewClient(tt.target, tt.opts...)
		if !errors.Is(err, tt.cause) || !strings.Contains(err.Error(), tt.target) || cc != nil {
			t.Errorf("NewClient(%q) = %v, %v, want %v and the target", tt.target, cc, err, tt.cause)
		}
	}
	// grpc-go's own complaints name the target as well.
	_, err := carpgrpc.NewClient("unix:x", carpgrpc.WithDialOptions(grpc.WithDefaultServiceConfig("{")))
	if _, ok := errors.AsType[*dialer.Error](err); !ok || !strings.Contains(err.Error(), "unix:x") {
		t.Errorf("NewClient with a bad service config = %v, want a *dialer.Error", err)
	}
}

// awaitState waits until cc is in a state.
func awaitState(t *testing.T, cc *carpgrpc.ClientConn, want connectivity.State) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		got := cc.GetState()
		if got == want {
			return
		}
		if !cc.WaitForStateChange(ctx, got) {
			t.Fatalf("the client stays %v, want %v", got, want)
		}
	}
}

// transportOf is what two ends without opaque options speak over lis.
func transportOf(lis net.Listener) carpgrpc.Transport {
	if strings.HasPrefix(dialer.TargetOf(lis.Addr()), "shm") {
		return carpgrpc.Direct
	}
	return carpgrpc.HTTP2
}

// An end with opaque options makes both speak HTTP/2, over shm too.
func TestOpaqueOptionsMeanHTTP2(t *testing.T) {
	target, ok := targets(t)["shm"]
	if !ok {
		return
	}
	leak.Check(t)
	for name, opts := range map[string]struct {
		server []carpgrpc.ServerOption
		client []carpgrpc.ClientOption
	}{
		"server": {server: []carpgrpc.ServerOption{carpgrpc.WithServerOptions(grpc.ReadBufferSize(1 << 10))}},
		"client": {client: []carpgrpc.ClientOption{carpgrpc.WithDialOptions(grpc.WithReadBufferSize(1 << 10))}},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			serve(t, service{}, listen(t, target), opts.server...)
			cc := newClient(t, target, opts.client...)
			if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64); err != nil {
				t.Fatal(err)
			}
			if got := cc.Transport(); got != carpgrpc.HTTP2 {
				t.Errorf("the transport is %q, want HTTP/2", got)
			}
		})
	}
}

// A stock grpc-go client and a Server, and the other way round, speak HTTP/2 over shm.
func TestStockPeersOverShm(t *testing.T) {
	target, ok := targets(t)["shm"]
	if !ok {
		return
	}
	t.Run("stock client", func(t *testing.T) {
		leak.Check(t)
		serve(t, service{}, listen(t, target))
		grpcTarget, opts, err := dialer.GRPC(target)
		if err != nil {
			t.Fatal(err)
		}
		cc, err := grpc.NewClient(grpcTarget, opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64); err != nil {
			t.Error(err)
		}
	})
	t.Run("stock server", func(t *testing.T) {
		leak.Check(t)
		lis := listen(t, target)
		srv := grpc.NewServer(grpc.Creds(dialer.Credentials()))
		pb.RegisterTestServiceServer(srv, service{})
		served := make(chan error, 1)
		go func() { served <- srv.Serve(lis) }()
		defer func() { srv.Stop(); <-served }()
		cc := newClient(t, target)
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64); err != nil {
			t.Error(err)
		}
		if got := cc.Transport(); got != carpgrpc.HTTP2 {
			t.Errorf("the transport is %q, want HTTP/2", got)
		}
	})
}

func TestConnectivity(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		target := dialer.TargetOf(lis.Addr())
		first := serve(t, service{}, lis)
		cc := newClient(t, target)
		if cc.Target() != target {
			t.Errorf("Target = %q, want %q", cc.Target(), target)
		}
		if got := cc.GetState(); got != connectivity.Idle {
			t.Errorf("a new client is %v, want Idle", got)
		}
		if got := cc.Transport(); got != carpgrpc.None {
			t.Errorf("a new client's transport is %q", got)
		}
		cc.Connect()
		awaitState(t, cc, connectivity.Ready)
		if got, want := cc.Transport(), transportOf(lis); got != want {
			t.Errorf("a connected client's transport is %q, want %q", got, want)
		}
		first.Stop()
		awaitState(t, cc, connectivity.Idle)
		wantCode(t, unary(t.Context(), pb.NewTestServiceClient(cc), 64), codes.Unavailable)
		awaitState(t, cc, connectivity.TransientFailure)
		serve(t, service{}, listen(t, target))
		cc.ResetConnectBackoff()
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64, grpc.WaitForReady(true)); err != nil {
			t.Errorf("once the server is back: %v", err)
		}
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		if got := cc.GetState(); got != connectivity.Shutdown {
			t.Errorf("a closed client is %v, want Shutdown", got)
		}
		wantCode(t, unary(t.Context(), pb.NewTestServiceClient(cc), 64), codes.Canceled)
		if err := cc.Close(); err == nil {
			t.Error("a second Close succeeds")
		}
	})
}

func TestCloseWithCallInFlight(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started := make(chan struct{})
		serve(t, service{started: started}, lis)
		cc := newClient(t, dialer.TargetOf(lis.Addr()))
		called := make(chan error, 1)
		go func() {
			_, err := pb.NewTestServiceClient(cc).EmptyCall(t.Context(), &pb.Empty{})
			called <- err
		}()
		<-started
		mustReturn(t, "Close", func() { cc.Close() })
		wantCode(t, <-called, codes.Canceled)
	})
}

func TestNoServer(t *testing.T) {
	for name, target := range targets(t) {
		if name == "tcp" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			err := unary(t.Context(), pb.NewTestServiceClient(newClient(t, target)), 64)
			wantCode(t, err, codes.Unavailable)
			if !strings.Contains(err.Error(), target) {
				t.Errorf("error %q lacks the target %s", err, target)
			}
		})
	}
}

// backingOff is a client that has tried to connect once, in vain, and waits so long until
// it tries again.
func backingOff(t *testing.T, target string, wait time.Duration) *carpgrpc.ClientConn {
	t.Helper()
	cc := newClient(t, target, carpgrpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: wait, Multiplier: 1, MaxDelay: wait},
	}))
	cc.Connect()
	awaitState(t, cc, connectivity.TransientFailure)
	return cc
}

// The second attempt comes when the given backoff is over, not after grpc-go's second: an
// hour's is not over when that is, whatever the machine does meanwhile, and a short one is
// soon.
func TestConnectParams(t *testing.T) {
	leak.Check(t)
	patient := map[string]*carpgrpc.ClientConn{}
	for name, target := range targets(t) {
		if name == "tcp" {
			continue // its port is found by listening
		}
		patient[name] = backingOff(t, target, time.Hour)
		eager := backingOff(t, target, time.Millisecond)
		serve(t, service{}, listen(t, target))
		begin := time.Now()
		if err := unary(t.Context(), pb.NewTestServiceClient(eager), 64, grpc.WaitForReady(true)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: connected %v after the server had come", name, time.Since(begin))
	}
	const byDefault = 1200 * time.Millisecond // a second, and a fifth of it by chance
	ctx, cancel := context.WithTimeout(t.Context(), byDefault)
	defer cancel()
	for name, cc := range patient {
		if cc.WaitForStateChange(ctx, connectivity.TransientFailure) {
			t.Errorf("%s: the client becomes %v within an hour", name, cc.GetState())
		}
	}
}

// A short backoff does not make attempts to connect short: one to a server that is slow to
// answer goes on, over each transport.
func TestShortBackoffLeavesTimeToConnect(t *testing.T) {
	for name, target := range targets(t) {
		for kind, opts := range map[string][]carpgrpc.ClientOption{
			"by default": nil, "opaque": {carpgrpc.WithDialOptions(grpc.EmptyDialOption{})},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				leak.Check(t)
				lis := listen(t, target) // its backlog takes connections, and nobody answers
				cc := newClient(t, dialer.TargetOf(lis.Addr()), append(opts, carpgrpc.WithConnectParams(grpc.ConnectParams{
					Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond},
				}))...)
				cc.Connect()
				awaitState(t, cc, connectivity.Connecting)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if cc.WaitForStateChange(ctx, connectivity.Connecting) {
					t.Errorf("the client is %v before the server could answer", cc.GetState())
				}
				lis.Close()
			})
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		serve(t, service{}, lis)
		cc := newClient(t, dialer.TargetOf(lis.Addr()), carpgrpc.WithIdleTimeout(50*time.Millisecond))
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64); err != nil {
			t.Fatal(err)
		}
		awaitState(t, cc, connectivity.Idle)
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64); err != nil {
			t.Errorf("after the idle time: %v", err)
		}
	})
}

func TestWithShm(t *testing.T) {
	target, ok := targets(t)["shm"]
	if !ok {
		return
	}
	leak.Check(t)
	serve(t, service{}, listen(t, target))
	cc := newClient(t, target, carpgrpc.WithShm(&shmconn.Config{RingSize: 12345}))
	err := unary(t.Context(), pb.NewTestServiceClient(cc), 64)
	if err == nil || !strings.Contains(err.Error(), "RingSize") {
		t.Errorf("with a bad RingSize: %v, want an error that names it", err)
	}
}

func TestClientLogsTransport(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		serve(t, service{}, lis)
		var log recorder
		if err := unary(t.Context(), clientOf(t, lis, carpgrpc.Logger(log.logger())), 64); err != nil {
			t.Fatal(err)
		}
		log.want(t, "level=DEBUG", "connected", "transport="+string(transportOf(lis)), dialer.TargetOf(lis.Addr()))
	})
}
