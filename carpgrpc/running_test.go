package carpgrpc_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// How the direct transport runs handlers.

// Frames of its that a handler finds below itself.
const (
	inLine   = ".runInline"
	onItsOwn = ".runAlone"
)

// callers is who called a handler. Taking it down is quick, as the handler has to be.
type callers [64]uintptr

func (c *callers) take() callers {
	*c = callers{}
	runtime.Callers(1, c[:])
	return *c
}

func (c callers) contain(function string) bool {
	frames := runtime.CallersFrames(c[:])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// whereItRan is a handler that tells what called it.
func whereItRan(told chan<- callers) handlers {
	return handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		told <- new(callers).take()
		return &reply{Payload: r.Payload}, nil
	}}
}

// A quick handler is run by the goroutine that reads; HandlerGoroutines gives it one of its
// own.
func TestHandlerGoroutines(t *testing.T) {
	const name = "/grpc.testing.TestService/UnaryCall"
	for _, tt := range []struct {
		name string
		opts []carpgrpc.ServerOption
		want string
	}{
		{"by default", nil, inLine},
		{"all methods", []carpgrpc.ServerOption{carpgrpc.HandlerGoroutines()}, onItsOwn},
		{"this method", []carpgrpc.ServerOption{carpgrpc.HandlerGoroutines("/x/Y", name)}, onItsOwn},
		{"another method", []carpgrpc.ServerOption{carpgrpc.HandlerGoroutines("/x/Y")}, inLine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leak.Check(t)
			lis, target := direct(t)
			told := make(chan callers, 1)
			serveHandlers(t, whereItRan(told), lis, tt.opts...)
			_, c := directClient(t, target)
			for begin := time.Now(); time.Since(begin) < patience; { // anybody can be preempted, and seem slow
				if err := unary(t.Context(), c, 10); err != nil {
					t.Fatal(err)
				}
				stack := <-told
				if stack.contain(tt.want) {
					return
				}
				if tt.want == onItsOwn {
					break
				}
			}
			t.Errorf("no call ran below %s", tt.want)
		})
	}
}

// A method that takes long is not run in line any more.
func TestSlowMethodLeavesTheReader(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	var slow bool // of the test's goroutine, in turns with the handler
	told := make(chan callers, 1)
	serveHandlers(t, handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		told <- new(callers).take()
		if slow {
			for begin := time.Now(); time.Since(begin) < 3*time.Millisecond; {
			}
		}
		return &reply{Payload: r.Payload}, nil
	}}, lis)
	_, c := directClient(t, target)
	run := func() callers {
		if err := unary(t.Context(), c, 10); err != nil {
			t.Fatal(err)
		}
		return <-told
	}
	for begin := time.Now(); !run().contain(inLine); {
		if time.Since(begin) > patience {
			t.Fatal("a quick method is never run in line")
		}
	}
	slow = true
	for range 10 {
		run()
	}
	for range 10 {
		if run().contain(inLine) {
			t.Error("a slow method is run in line")
		}
	}
}

// runtime.Goexit in a handler ends that call with an error, in line or not, and others go on.
func TestGoexit(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	told := make(chan callers, 1)
	serveHandlers(t, handlers{
		unary: func(_ context.Context, r *request) (*reply, error) {
			told <- new(callers).take()
			if len(r.Payload.Body) == 1 {
				runtime.Goexit()
			}
			return &reply{Payload: r.Payload}, nil
		},
		stream: func(s incoming) error {
			runtime.Goexit()
			return nil
		},
	}, lis)
	_, c := directClient(t, target)
	inLineExits := 0
	// A busy machine makes quick handlers seem slow now and then.
	for begin, n := time.Now(), 0; n < 100 || inLineExits == 0 && time.Since(begin) < patience; n++ {
		wantCode(t, unary(t.Context(), c, 1), codes.Internal)
		if (<-told).contain(inLine) {
			inLineExits++
		}
		s, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		wantCode(t, err, codes.Internal)
		if err := unary(t.Context(), c, 10); err != nil {
			t.Fatal(err)
		}
		<-told
	}
	if inLineExits == 0 {
		t.Error("no handler that ends its goroutine was run in line")
	}
}

// Handlers that block for ever keep nobody: not other calls, streams, or the client's end.
func TestHandlersThatBlock(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	release := make(chan struct{})
	started := make(chan struct{})
	serveHandlers(t, handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		if len(r.Payload.Body) == 1 {
			started <- struct{}{}
			<-release // its context is nothing to it
		}
		return &reply{Payload: r.Payload}, nil
	}}, lis)
	_, c := directClient(t, target)
	blocked, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantCode(t, unary(blocked, c, 1), codes.Canceled) })
		<-started
		if err := unary(t.Context(), c, 10); err != nil {
			t.Error(err)
		}
		if err := stream(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	cancel()
	mustReturn(t, "calls that were cancelled", wg.Wait)
	if err := unary(t.Context(), c, 10); err != nil {
		t.Error(err)
	}
	close(release)
}

// Handlers call their own server, over the connection that their call came by, many calls
// deep and from many at once.
func TestRecursion(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	var c pb.TestServiceClient
	serveHandlers(t, handlers{unary: func(ctx context.Context, r *request) (*reply, error) {
		if len(r.Payload.Body) == 0 {
			return &reply{Payload: r.Payload}, nil
		}
		return c.UnaryCall(ctx, &request{Payload: body(r.Payload.Body[1:])})
	}}, lis)
	_, c = directClient(t, target)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := c.UnaryCall(t.Context(), &request{Payload: body(make([]byte, 30))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Two servers whose handlers call each other.
func TestMutualRecursion(t *testing.T) {
	leak.Check(t)
	var clients [2]pb.TestServiceClient
	handler := func(other int) handlers {
		return handlers{unary: func(ctx context.Context, r *request) (*reply, error) {
			if len(r.Payload.Body) == 0 {
				return &reply{Payload: r.Payload}, nil
			}
			return clients[other].UnaryCall(ctx, &request{Payload: body(r.Payload.Body[1:])})
		}}
	}
	var listeners [2]string
	for i := range listeners {
		lis, target := direct(t)
		serveHandlers(t, handler(1-i), lis)
		_, clients[i] = directClient(t, target)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if _, err := clients[i%2].UnaryCall(t.Context(), &request{Payload: body(make([]byte, 30))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// profiled tells whether a handler, which calls it, has a goroutine label.
func profiled(t *testing.T, label string) bool {
	t.Helper()
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Error(err)
	}
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(record, "TestLabels") && strings.Contains(record, "profiled") {
			return strings.Contains(record, label)
		}
	}
	t.Error("the handler is not in the profile")
	return false
}

// Labels of goroutines stay with who set them: a handler has neither those of callers, whose
// goroutines read for all, nor those of handlers before it.
func TestLabels(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []carpgrpc.ServerOption
	}{
		{"by default", nil},
		{"own goroutines", []carpgrpc.ServerOption{carpgrpc.HandlerGoroutines()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leak.Check(t)
			lis, target := direct(t)
			serveHandlers(t, handlers{
				unary: func(_ context.Context, r *request) (*reply, error) {
					if profiled(t, "caller-or-handler") {
						t.Error("a handler has foreign labels")
					}
					pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("of", "caller-or-handler")))
					return &reply{Payload: r.Payload}, nil
				},
				stream: func(s incoming) error {
					pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("of", "caller-or-handler")))
					_, err := s.Recv()
					return err
				},
			}, lis, tt.opts...)
			pprof.Do(t.Context(), pprof.Labels("of", "caller-or-handler"), func(ctx context.Context) {
				_, c := directClient(t, target)
				for range 20 {
					if err := unary(ctx, c, 10); err != nil {
						t.Fatal(err)
					}
					s, err := c.FullDuplexCall(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.CloseSend(); err != nil {
						t.Error(err)
					}
					if _, err := s.Recv(); status.Code(err) != codes.Unknown && !errors.Is(err, io.EOF) {
						t.Error(err)
					}
				}
			})
		})
	}
}

// 10,000 streams on one connection, all of them moving.
func TestTenThousandStreams(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	serveHandlers(t, handlers{}, lis)
	_, c := directClient(t, target)
	const n = 10_000
	streams := make([]outgoing, n)
	for i := range streams {
		s, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		streams[i] = s
	}
	for range 3 {
		for i, s := range streams {
			m := &pb.StreamingOutputCallRequest{Payload: body([]byte{byte(i), byte(i >> 8)})}
			if err := s.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range streams {
			m, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if b := m.Payload.Body; int(b[0])|int(b[1])<<8 != i {
				t.Fatalf("stream %d got what another one sent", i)
			}
		}
	}
	if err := unary(t.Context(), c, 10); err != nil {
		t.Error(err)
	}
	for _, s := range streams {
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
	}
}

// A client that opens and cancels as fast as it can, calls and streams with messages that
// nobody reads, costs the server a bounded number of goroutines and bytes.
func TestOpenAndCancel(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	release := make(chan struct{})
	serveHandlers(t, handlers{
		stream: func(s incoming) error {
			<-release // like a handler that does not look at its context
			return nil
		},
	}, lis, carpgrpc.MaxConcurrentStreams(100))
	_, c := directClient(t, target)
	before := memory()
	var wg sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	message := &pb.StreamingOutputCallRequest{Payload: body(make([]byte, 60<<10))}
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
				if s, err := c.FullDuplexCall(ctx); err == nil {
					_ = s.Send(message)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	// What ends with the calls may take a moment to; the handlers stay.
	settles(t, "goroutines for 100 calls", 100+50, runtime.NumGoroutine)
	// 100 windows, and what the garbage collector has not seen yet.
	settles(t, "bytes more in use", 32<<20, func() int { return int(memory()) - int(before) })
	close(release)
	if err := unary(t.Context(), c, 10); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// settles waits until a number is within its bound.
func settles(t *testing.T, what string, most int, number func() int) {
	t.Helper()
	n := number()
	for begin := time.Now(); n > most && time.Since(begin) < patience; n = number() {
		runtime.Gosched()
	}
	if n > most {
		t.Errorf("%d %s, want %d at most", n, what, most)
	}
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A stream whose reader sleeps holds back neither other streams nor unary calls.
func TestSlowReader(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	serveHandlers(t, handlers{stream: func(s incoming) error {
		for {
			if err := s.Send(&pb.StreamingOutputCallResponse{Payload: body(make([]byte, 20<<10))}); err != nil {
				return err
			}
		}
	}}, lis)
	_, c := directClient(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow := make([]outgoing, 20) // together far more than a ring holds
	for i := range slow {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slow[i] = s
	}
	quick, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, err := quick.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := unary(ctx, c, 100<<10); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range slow { // they go on where they were
		if _, err := s.Recv(); err != nil {
			t.Error(err)
		}
	}
}
