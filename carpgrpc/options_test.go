package carpgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// The options whose effect the differential suite doesn't show. Each test fails when
// the option is not applied, on any transport.

func TestMaxConcurrentStreams(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started := make(chan struct{})
		serve(t, service{started: started}, lis, carpgrpc.MaxConcurrentStreams(1))
		c := clientOf(t, lis)
		first, cancel := context.WithCancel(t.Context())
		called := make(chan struct{})
		go func() { _, _ = c.EmptyCall(first, &pb.Empty{}); close(called) }()
		<-started
		second, cancelSecond := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelSecond()
		wantCode(t, unary(second, c, 64), codes.DeadlineExceeded)
		cancel()
		<-called
		if err := unary(t.Context(), c, 64); err != nil {
			t.Errorf("after the first call: %v", err)
		}
	})
}

func TestServerMaxHeaderListSize(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		serve(t, service{}, lis, carpgrpc.MaxHeaderListSize(1000))
		c := clientOf(t, lis)
		if err := unary(t.Context(), c, 64); err != nil {
			t.Fatal(err)
		}
		big := metadata.AppendToOutgoingContext(t.Context(), "k", strings.Repeat("v", 2000))
		if err := unary(big, c, 64); err == nil {
			t.Error("metadata over the limit is taken")
		}
	})
}

func TestClientMaxHeaderListSize(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		serve(t, service{}, lis, carpgrpc.UnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if err := grpc.SetHeader(ctx, metadata.Pairs("k", strings.Repeat("v", 2000))); err != nil {
					return nil, err
				}
				return next(ctx, req)
			}))
		if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
			t.Fatal(err)
		}
		if err := unary(t.Context(), clientOf(t, lis, carpgrpc.WithMaxHeaderListSize(1000)), 64); err == nil {
			t.Error("metadata over the limit is taken")
		}
	})
}

func TestConnectionTimeout(t *testing.T) {
	leak.Check(t)
	lis := listen(t, targets(t)["unix"])
	serve(t, service{}, lis, carpgrpc.ConnectionTimeout(50*time.Millisecond))
	c, err := dialer.Dial(t.Context(), dialer.TargetOf(lis.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The server's settings come first, then the end.
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("a silent client is not disconnected: %v", err)
	}
}

func TestServerKeepaliveParams(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		serve(t, service{}, lis, carpgrpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 50 * time.Millisecond}))
		cc := newClient(t, dialer.TargetOf(lis.Addr()))
		// On a busy machine a connection may be idle for too long before it is ready.
		if err := unary(t.Context(), pb.NewTestServiceClient(cc), 64, grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
		awaitState(t, cc, connectivity.Idle)
	})
}

// A connection that is too old takes no further calls, and ends with the calls it has, or
// after the grace.
func TestMaxConnectionAge(t *testing.T) {
	for name, grace := range map[string]time.Duration{"no end": 0, "grace": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			forEachTarget(t, func(t *testing.T, lis net.Listener) {
				t.Helper()
				serve(t, service{}, lis, carpgrpc.KeepaliveParams(keepalive.ServerParameters{
					MaxConnectionAge: 200 * time.Millisecond, MaxConnectionAgeGrace: grace,
				}))
				cc := newClient(t, dialer.TargetOf(lis.Addr()))
				// On a busy machine a connection may be too old before it is ready.
				s, err := pb.NewTestServiceClient(cc).FullDuplexCall(t.Context(), grpc.WaitForReady(true))
				if err != nil {
					t.Fatal(err)
				}
				awaitState(t, cc, connectivity.Idle)
				if grace > 0 {
					_, err := s.Recv()
					wantCode(t, err, codes.Unavailable)
					return
				}
				if err := s.Send(&pb.StreamingOutputCallRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Recv(); err != nil {
					t.Errorf("a call under way: %v", err)
				}
			})
		})
	}
}

// pingALot sends pings as fast as the server answers them, and reports whether it was
// sent away for that.
func pingALot(t *testing.T, lis net.Listener) (sentAway bool) {
	t.Helper()
	c, err := dialer.Dial(t.Context(), dialer.TargetOf(lis.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := fr.WritePing(false, [8]byte{}); err != nil {
			return true
		}
		for {
			f, err := fr.ReadFrame()
			if _, ok := f.(*http2.GoAwayFrame); ok || errors.Is(err, io.EOF) {
				return true
			}
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
				break
			}
		}
	}
	return false
}

func TestKeepaliveEnforcementPolicy(t *testing.T) {
	leak.Check(t)
	strict := listen(t, targets(t)["unix"])
	serve(t, service{}, strict)
	if !pingALot(t, strict) {
		t.Error("the default policy lets a client ping all the time: this test shows nothing")
	}
	lenient := listen(t, targets(t)["unix"])
	serve(t, service{}, lenient, carpgrpc.KeepaliveEnforcementPolicy(
		keepalive.EnforcementPolicy{MinTime: time.Nanosecond, PermitWithoutStream: true}))
	if pingALot(t, lenient) {
		t.Error("a client that may ping was sent away")
	}
}

// countingCodec is the codec of protobuf, and counts.
type countingCodec struct {
	encoding.CodecV2

	decoded atomic.Int32
}

func (c *countingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c.decoded.Add(1)
	return c.CodecV2.Unmarshal(data, v)
}

func TestForceServerCodecV2(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		codec := &countingCodec{CodecV2: encoding.GetCodecV2(proto.Name)}
		serve(t, service{}, lis, carpgrpc.ForceServerCodecV2(codec))
		if err := unary(t.Context(), clientOf(t, lis), 64); err != nil {
			t.Fatal(err)
		}
		if codec.decoded.Load() != 1 {
			t.Errorf("the codec decoded %d requests, want 1", codec.decoded.Load())
		}
	})
}

func TestWaitForHandlers(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		started, cancelled, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
		srv := serve(t, service{}, lis, carpgrpc.WaitForHandlers(true), carpgrpc.UnaryInterceptor(
			func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
				close(started)
				<-ctx.Done()
				close(cancelled)
				<-release
				return &pb.SimpleResponse{}, nil
			}))
		c := clientOf(t, lis)
		called := make(chan error, 1)
		go func() { called <- unary(t.Context(), c, 64) }()
		<-started
		stopped := make(chan struct{})
		go func() { srv.Stop(); close(stopped) }()
		<-cancelled
		select {
		case <-stopped:
			t.Error("Stop returned before the handler")
		case <-time.After(50 * time.Millisecond): // it waits, as it should
		}
		close(release)
		mustReturn(t, "Stop", func() { <-stopped })
		wantCode(t, <-called, codes.Unavailable)
	})
}
