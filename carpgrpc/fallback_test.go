package carpgrpc_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// http2Only is an option that keeps a server from the direct transport.
func http2Only() carpgrpc.ServerOption {
	return carpgrpc.WithServerOptions(grpc.ReadBufferSize(1 << 10))
}

// A server that is replaced by one that speaks another transport is followed, in either
// direction. Calls under way on the old connection go on.
func TestServerChangesTransport(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	var log recorder
	cc := newClient(t, target, carpgrpc.Logger(log.logger()))
	c := pb.NewTestServiceClient(cc)
	for _, kind := range []carpgrpc.Transport{carpgrpc.HTTP2, carpgrpc.Direct, carpgrpc.HTTP2, carpgrpc.Direct} {
		var opts []carpgrpc.ServerOption
		if kind == carpgrpc.HTTP2 {
			opts = append(opts, http2Only())
		}
		srv := serveHandlers(t, handlers{}, lis, opts...)
		cc.ResetConnectBackoff()
		if err := unary(t.Context(), c, 10, grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
		awaitTransport(t, cc, kind)
		log.want(t, "connected", "transport="+string(kind), target)
		s, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() { srv.GracefulStop(); close(stopped) }()
		awaitState(t, cc, connectivity.Idle)
		if err := s.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Errorf("a stream under way over %s: %v", kind, err)
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("at its end: %v", err)
		}
		mustReturn(t, "GracefulStop", func() { <-stopped })
		lis = listen(t, target)
	}
}

// Close ends the calls on connections that the client has left behind, on both transports.
func TestCloseEndsCallsOnOldConnections(t *testing.T) {
	for name, opts := range map[string][]carpgrpc.ServerOption{"direct": nil, "HTTP/2": {http2Only()}} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			lis, target := direct(t)
			srv := serveHandlers(t, handlers{}, lis, opts...)
			cc := newClient(t, target)
			s, err := pb.NewTestServiceClient(cc).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// A call that a stopping server hasn't seen would be made again.
			if err := errors.Join(s.Send(&pb.StreamingOutputCallRequest{}), second(s.Recv())); err != nil {
				t.Fatal(err)
			}
			stopped := make(chan struct{})
			go func() { srv.GracefulStop(); close(stopped) }()
			awaitState(t, cc, connectivity.Idle)
			mustReturn(t, "Close", func() { cc.Close() })
			_, err = s.Recv()
			if code := status.Code(err); code != codes.Canceled && (opts == nil || code != codes.Unavailable) {
				t.Errorf("the call ended with %v", err) // over HTTP/2, grpc-go says either
			}
			mustReturn(t, "GracefulStop", func() { <-stopped })
		})
	}
}

// Close ends an attempt to connect that hangs, and the calls that wait for it.
func TestCloseWhileConnecting(t *testing.T) {
	_, target := direct(t) // which nobody serves: its backlog takes connections
	leak.Check(t)
	cc := newClient(t, target)
	c := pb.NewTestServiceClient(cc)
	called := make(chan error, 2)
	go func() { called <- unary(t.Context(), c, 10) }()
	go func() { called <- unary(t.Context(), c, 10, grpc.WaitForReady(true)) }()
	awaitState(t, cc, connectivity.Connecting)
	mustReturn(t, "Close", func() { cc.Close() })
	wantCode(t, <-called, codes.Canceled)
	wantCode(t, <-called, codes.Canceled)
}

// A client that can't connect tries again by itself, is TransientFailure all the while, and
// gives up when nobody has wanted anything for the idle time.
func TestTransientFailureIsSticky(t *testing.T) {
	target, ok := targets(t)["shm"]
	if !ok {
		return
	}
	leak.Check(t)
	cc := newClient(t, target, carpgrpc.WithIdleTimeout(200*time.Millisecond), carpgrpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond},
	}))
	begin := time.Now()
	cc.Connect()
	awaitState(t, cc, connectivity.TransientFailure)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !cc.WaitForStateChange(ctx, connectivity.TransientFailure) {
		t.Fatal("the client never gives up")
	}
	if got := cc.GetState(); got != connectivity.Idle {
		t.Errorf("after TransientFailure comes %v, want Idle", got)
	}
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("the client gave up after %v", took)
	}
	wantCode(t, unary(t.Context(), pb.NewTestServiceClient(cc), 10), codes.Unavailable)
}

// statsLog is a stats handler that keeps the types of what it is told.
type statsLog struct {
	mu     sync.Mutex
	events []stats.RPCStats
	ended  chan struct{} // gets one for each call's end, unless it is full; or nil
}

func (l *statsLog) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (l *statsLog) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (l *statsLog) HandleConn(context.Context, stats.ConnStats)                       {}
func (l *statsLog) HandleRPC(_ context.Context, s stats.RPCStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, s)
	if _, end := s.(*stats.End); end && l.ended != nil {
		select {
		case l.ended <- struct{}{}:
		default:
		}
	}
}

// kinds gives the events so far that are of type T.
func kinds[T stats.RPCStats](l *statsLog) (all []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e, ok := e.(T); ok {
			all = append(all, e)
		}
	}
	return all
}

// Statistics hear that a call waited for a connection.
func TestStatsOfWait(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	serveHandlers(t, handlers{}, lis)
	var log statsLog
	c := pb.NewTestServiceClient(newClient(t, target, carpgrpc.WithStatsHandler(&log)))
	for range 2 {
		if err := unary(t.Context(), c, 10); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(kinds[*stats.DelayedPickComplete](&log)); n != 1 {
		t.Errorf("%d calls waited for a connection, want the first", n)
	}
	if begun, ended := len(kinds[*stats.Begin](&log)), len(kinds[*stats.End](&log)); begun != 2 || ended != 2 {
		t.Errorf("%d begun, %d ended, want 2", begun, ended)
	}
}

func second[T any](_ T, err error) error { return err }
