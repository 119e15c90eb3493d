package carpgrpc_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Servers that are replaced one after the other, gracefully, lose no call of clients that
// wait for ready, and none is served twice.
func TestRollingRestart(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	var served atomic.Int64
	h := handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		served.Add(1)
		return &reply{Payload: r.Payload}, nil
	}}
	srv := serveHandlers(t, h, lis)
	cc, c := directClient(t, target)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	calls := newTally()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := unary(t.Context(), c, 10, grpc.WaitForReady(true)); err != nil {
					t.Error(err)
					return
				}
				calls.add()
			}
		})
	}
	for range 10 {
		next := newServer(h)
		mustReturn(t, "GracefulStop", srv.GracefulStop)
		lis = listen(t, target)
		start(t, next, lis)
		cc.ResetConnectBackoff()
		srv = next
		calls.await(t, calls.n.Load()+100)
	}
	stop()
	wg.Wait()
	if served.Load() != calls.n.Load() {
		t.Errorf("%d calls were served of %d", served.Load(), calls.n.Load())
	}
}

// tally counts calls.
type tally struct {
	n    atomic.Int64
	more chan struct{}
}

func newTally() *tally { return &tally{more: make(chan struct{}, 1)} }

func (t *tally) add() {
	t.n.Add(1)
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// await waits for the n-th call.
func (t *tally) await(tb testing.TB, n int64) {
	tb.Helper()
	timeout := time.After(patience)
	for t.n.Load() < n {
		select {
		case <-t.more:
		case <-timeout:
			tb.Fatalf("%d calls got through in %v, want %d\n%s", t.n.Load(), patience, n, stacks())
		}
	}
}

// GracefulStop and Stop among calls that come and go: each call succeeds or is Unavailable,
// and each that succeeds was served.
func TestStopAmongCalls(t *testing.T) {
	for name, stop := range map[string]func(*carpgrpc.Server){
		"GracefulStop": (*carpgrpc.Server).GracefulStop,
		"Stop":         (*carpgrpc.Server).Stop,
		"both": func(s *carpgrpc.Server) {
			var wg sync.WaitGroup
			wg.Go(s.GracefulStop)
			wg.Go(s.Stop)
			wg.Go(s.GracefulStop)
			wg.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			for range 10 {
				lis, target := direct(t)
				srv := serveHandlers(t, handlers{}, lis)
				_, c := directClient(t, target)
				var wg sync.WaitGroup
				calls := newTally()
				for range 8 {
					wg.Go(func() {
						for {
							err := unary(t.Context(), c, 10)
							if err == nil {
								err = stream(t.Context(), c)
							}
							if err != nil {
								wantCode(t, err, codes.Unavailable)
								return
							}
							calls.add()
						}
					})
				}
				calls.await(t, 50)
				mustReturn(t, name, func() { stop(srv) })
				mustReturn(t, "calls", wg.Wait)
			}
		})
	}
}

// occupied is a server that takes one call, and a client whose call has been cancelled while
// its handler goes on until release.
func occupied(t *testing.T, rest handlers, opts ...carpgrpc.ClientOption) (c pb.TestServiceClient, release func()) {
	t.Helper()
	lis, target := direct(t)
	started, free := make(chan struct{}), make(chan struct{})
	first := true
	stream := rest.stream
	rest.stream = func(s incoming) error {
		if first {
			first = false
			close(started)
			<-free
			return nil
		}
		return stream(s)
	}
	serveHandlers(t, rest, lis, carpgrpc.MaxConcurrentStreams(1))
	_, c = directClient(t, target, opts...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := c.FullDuplexCall(ctx); err != nil {
		t.Fatal(err)
	}
	<-started
	return c, sync.OnceFunc(func() { close(free) })
}

// A call that the server sends back, as the handlers of cancelled calls still run, is made
// again until it is taken.
func TestRefusedUnaryCall(t *testing.T) {
	leak.Check(t)
	c, release := occupied(t, handlers{})
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantCode(t, unary(ctx, c, 10), codes.DeadlineExceeded)
	called := make(chan error, 1)
	go func() { called <- unary(t.Context(), c, 10) }()
	select {
	case err := <-called:
		t.Fatalf("a call above the limit of handlers: %v", err)
	case <-time.After(20 * time.Millisecond): // it waits
	}
	release()
	if err := <-called; err != nil {
		t.Error(err)
	}
}

// The same for streams, with what was sent on them meanwhile.
func TestRefusedStream(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, outgoing){
		"nothing sent": func(*testing.T, outgoing) {},
		"messages sent": func(t *testing.T, s outgoing) {
			t.Helper()
			for i := range 5 {
				if err := s.Send(&pb.StreamingOutputCallRequest{Payload: body([]byte{byte(i)})}); err != nil {
					t.Fatal(err)
				}
			}
		},
		"messages and end sent": func(t *testing.T, s outgoing) {
			t.Helper()
			for i := range 5 {
				if err := s.Send(&pb.StreamingOutputCallRequest{Payload: body([]byte{byte(i)})}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			got := make(chan []byte, 1)
			c, release := occupied(t, handlers{stream: func(s incoming) error {
				var all []byte
				for {
					m, err := s.Recv()
					if errors.Is(err, io.EOF) {
						got <- all
						return nil
					}
					if err != nil {
						return err
					}
					all = append(all, m.Payload.Body...)
				}
			}})
			defer release()
			s, err := c.FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			begin(t, s)
			ended := make(chan error, 1)
			go func() { _, err := s.Recv(); ended <- err }()
			select {
			case err := <-ended:
				t.Fatalf("a stream above the limit of handlers ends: %v", err)
			case <-time.After(20 * time.Millisecond): // it waits
			}
			release()
			var want []byte
			if name != "nothing sent" {
				want = []byte{0, 1, 2, 3, 4}
			}
			if name != "messages and end sent" {
				if err := s.Send(&pb.StreamingOutputCallRequest{Payload: body([]byte{9})}); err != nil {
					t.Fatal(err)
				}
				want = append(want, 9)
				if err := s.CloseSend(); err != nil {
					t.Fatal(err)
				}
			}
			if all := <-got; string(all) != string(want) {
				t.Errorf("the handler got %v, want %v", all, want)
			}
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
}

// Statistics hear of each attempt: it begins and ends, and all but the first are transparent.
func TestStatsOfRefusedCall(t *testing.T) {
	leak.Check(t)
	log := statsLog{ended: make(chan struct{}, 100)}
	c, release := occupied(t, handlers{}, carpgrpc.WithStatsHandler(&log))
	defer release()
	next(t, log.ended, "the end of the call that looked at the transport")
	next(t, log.ended, "the end of the cancelled one")
	before := len(kinds[*stats.Begin](&log))
	called := make(chan error, 1)
	go func() { called <- unary(t.Context(), c, 10) }()
	for range 2 { // attempts are over
		next(t, log.ended, "the end of an attempt")
	}
	release()
	if err := next(t, called, "the call's end"); err != nil {
		t.Fatal(err)
	}
	begun, ended := kinds[*stats.Begin](&log), kinds[*stats.End](&log)
	for i, b := range begun[before:] {
		if b.IsTransparentRetryAttempt != (i > 0) {
			t.Errorf("attempt %d is a transparent one: %v", i, b.IsTransparentRetryAttempt)
		}
	}
	for i, e := range ended[before:] {
		want := codes.Unavailable
		if i == len(ended)-before-1 {
			want = codes.OK
		}
		wantCode(t, e.Error, want)
	}
	if len(begun) != len(ended) {
		t.Errorf("%d attempts began, %d ended", len(begun), len(ended))
	}
}

// A stream that sent more than is kept can't be made again: it is Unavailable.
func TestRefusedLargeStream(t *testing.T) {
	leak.Check(t)
	c, release := occupied(t, handlers{stream: func(incoming) error { return nil }})
	defer release()
	s, err := c.FullDuplexCall(t.Context(), grpc.MaxRetryRPCBufferSize(10))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = s.Send(&pb.StreamingOutputCallRequest{Payload: body(make([]byte, 100))})
	}
	_, err = s.Recv()
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}
