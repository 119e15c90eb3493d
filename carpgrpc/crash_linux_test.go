package carpgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// inFlight is how many calls are under way when a process dies; half of them are streams.
const inFlight = 100

// soon is how quickly the other process notices.
const soon = 100 * time.Millisecond

// hanging are handlers that announce themselves and wait for the end of their calls.
func hanging(started chan<- struct{}, ended chan<- error) handlers {
	wait := func(ctx context.Context) error {
		started <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	return handlers{
		unary: func(ctx context.Context, r *request) (*reply, error) {
			if r.Payload == nil {
				return &reply{}, nil
			}
			return nil, wait(ctx)
		},
		stream: func(s incoming) error { return wait(s.Context()) },
	}
}

// serveRole serves hanging handlers at the target in its arguments, and writes a line for
// each that begins.
func serveRole(c *testproc.Child) error {
	lis, err := dialer.Listen(context.Background(), c.Args[0])
	if err != nil {
		return err
	}
	started := make(chan struct{})
	srv := newServer(hanging(started, make(chan error, inFlight)))
	go srv.Serve(lis)
	c.Ready("serving")
	go func() {
		for range started {
			c.Ready("started")
		}
	}()
	_, err = c.In.ReadString('\n')
	srv.Stop()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// callRole makes calls to the target in its arguments, with the timeout if there is one.
func callRole(c *testproc.Child) error {
	ctx := context.Background()
	if len(c.Args) > 1 {
		timeout, err := time.ParseDuration(c.Args[1])
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	cc, err := carpgrpc.NewClient(c.Args[0], carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer cc.Close()
	makeCalls(ctx, pb.NewTestServiceClient(cc), inFlight)
	_, _ = c.In.ReadString('\n')
	return nil
}

// makeCalls begins n calls, and gives the errors that they end with.
func makeCalls(ctx context.Context, c pb.TestServiceClient, n int) <-chan error {
	errs := make(chan error, n)
	for i := range n {
		go func() {
			if i%2 == 0 {
				_, err := c.UnaryCall(ctx, &request{Payload: body([]byte("x"))})
				errs <- err
				return
			}
			s, err := c.FullDuplexCall(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			errs <- err
		}()
	}
	return errs
}

// inTime runs a test of something that has to happen within a bound, up to three times: the
// machine may be busy with something else.
func inTime(t *testing.T, what string, bound time.Duration, once func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 3 {
		d := once()
		if d <= bound {
			return
		}
		took = append(took, d)
	}
	t.Errorf("%s took %v, want %v at most", what, took, bound)
}

// A server that is killed ends the calls under way at once, and the client connects to the
// next one.
func TestServerKilled(t *testing.T) {
	leak.Check(t)
	target := targets(t)["shm"]
	cc := newClient(t, target)
	c := pb.NewTestServiceClient(cc)
	inTime(t, "noticing the death of the server", soon, func() time.Duration {
		child := testproc.Start(t, "serve", target)
		child.ReadLine()
		// After a round that failed, the client may be waiting to connect.
		cc.ResetConnectBackoff()
		if _, err := c.UnaryCall(t.Context(), &request{}, grpc.WaitForReady(true)); err != nil {
			t.Fatalf("with a server that has come: %v", err)
		}
		if got := cc.Transport(); got != carpgrpc.Direct {
			t.Fatalf("the transport is %q", got)
		}
		errs := makeCalls(t.Context(), c, inFlight)
		for range inFlight {
			child.ReadLine()
		}
		if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range inFlight {
			wantCode(t, <-errs, codes.Unavailable)
		}
		took := time.Since(begin)
		child.Kill() // reap it
		return took
	})
	// And back, without anybody's help.
	testproc.Start(t, "serve", target).ReadLine()
	cc.ResetConnectBackoff()
	if _, err := c.UnaryCall(t.Context(), &request{}, grpc.WaitForReady(true)); err != nil {
		t.Error(err)
	}
}

// A client that is killed ends the contexts of its handlers at once.
func TestClientKilled(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	started, ended := make(chan struct{}, inFlight), make(chan error, inFlight)
	serveHandlers(t, hanging(started, ended), lis)
	inTime(t, "noticing the death of the client", soon, func() time.Duration {
		child := testproc.Start(t, "call", target)
		for range inFlight {
			<-started
		}
		if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range inFlight {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the context of a handler ended with %v", err)
			}
		}
		took := time.Since(begin)
		child.Kill()
		return took
	})
	cc := newClient(t, target)
	if _, err := pb.NewTestServiceClient(cc).UnaryCall(t.Context(), &request{}); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// Deadlines end the calls to a server that is stopped: those that wait for it, and those
// that have filled its memory. When it goes on, so does the connection.
func TestServerStopped(t *testing.T) {
	leak.Check(t)
	target := targets(t)["shm"]
	child := testproc.Start(t, "serve", target)
	child.ReadLine()
	cc := newClient(t, target)
	c := pb.NewTestServiceClient(cc)
	if _, err := c.UnaryCall(t.Context(), &request{}); err != nil {
		t.Fatal(err)
	}
	child.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	late := func(what string, call func() error) {
		wg.Go(func() {
			if err := call(); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v, want DeadlineExceeded", what, err)
			}
		})
	}
	late("a call", func() error { return callEmpty(ctx, c) })
	late("a reader", func() error {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		_, err = s.Recv()
		return err
	})
	for i := range 8 { // together more than fits into a ring
		late(fmt.Sprintf("sender %d", i), func() error { return sendOnAndOn(ctx, c) })
	}
	late("a call with a large message", func() error {
		_, err := c.UnaryCall(ctx, &request{Payload: body(make([]byte, 2<<20))})
		return err
	})
	mustReturn(t, "calls to a stopped server", wg.Wait)
	child.Signal(syscall.SIGCONT)
	if _, err := c.UnaryCall(t.Context(), &request{}); err != nil {
		t.Errorf("when the server goes on: %v", err)
	}
	if got := cc.Transport(); got != carpgrpc.Direct {
		t.Errorf("the transport is %q, want the old connection's", got)
	}
}

// sendOnAndOn sends on a stream until that fails, and returns the call's status.
func sendOnAndOn(ctx context.Context, c pb.TestServiceClient) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	m := &pb.StreamingOutputCallRequest{Payload: body(make([]byte, 10<<10))}
	for err == nil {
		err = s.Send(m)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	_, err = s.Recv()
	return err
}

// Deadlines end the handlers that send to a client that is stopped, and the replies that
// find no room; other clients don't notice, and the server can stop gracefully.
func TestClientStopped(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	started, stopped, ended := make(chan struct{}, inFlight), make(chan struct{}), make(chan error, inFlight)
	srv := serveHandlers(t, handlers{
		unary: func(_ context.Context, r *request) (*reply, error) {
			if r.Payload == nil {
				return &reply{}, nil
			}
			started <- struct{}{}
			<-stopped
			return &reply{Payload: body(make([]byte, 1<<20))}, nil // more than fits
		},
		stream: func(s incoming) error {
			started <- struct{}{}
			<-stopped
			var err error
			for err == nil {
				err = s.Send(&pb.StreamingOutputCallResponse{Payload: body(make([]byte, 10<<10))})
			}
			ended <- err
			return err
		},
	}, lis)
	_, other := directClient(t, target)
	const timeout = 2 * time.Second // of the calls; enough for all of them to begin
	child := testproc.Start(t, "call", target, timeout.String())
	for range inFlight {
		<-started
	}
	child.Signal(syscall.SIGSTOP)
	close(stopped)
	for range inFlight / 2 {
		if _, err := other.UnaryCall(t.Context(), &request{}); err != nil {
			t.Errorf("another client: %v", err)
		}
		wantCode(t, <-ended, codes.DeadlineExceeded)
	}
	mustReturn(t, "GracefulStop", srv.GracefulStop)
	child.Signal(syscall.SIGCONT)
}
