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

// callRole makes calls to the target in its arguments, with a timeout; over HTTP/2 if there
// is a third argument.
func callRole(c *testproc.Child) error {
	timeout, err := time.ParseDuration(c.Args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	opts := []carpgrpc.ClientOption{carpgrpc.WithTransportCredentials(insecure.NewCredentials())}
	if len(c.Args) > 2 {
		opts = append(opts, carpgrpc.WithDialOptions(grpc.EmptyDialOption{}))
	}
	cc, err := carpgrpc.NewClient(c.Args[0], opts...)
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
	child.Stop()
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
	// All calls have to begin before their deadlines, and the client to stop.
	for timeout := time.Second; !stopClient(t, timeout); timeout *= 4 {
		t.Logf("%v were not enough on this busy machine", timeout)
		if t.Failed() || timeout > patience {
			t.Fatal("the calls don't begin")
		}
	}
}

// stopClient stops a client whose calls have a timeout. It gives up, and returns false, if
// that doesn't happen in time.
func stopClient(t *testing.T, timeout time.Duration) (inTime bool) {
	t.Helper()
	t.Run(timeout.String(), func(t *testing.T) {
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
		resume := sync.OnceFunc(func() { close(stopped) })
		defer resume()
		_, other := directClient(t, target)
		passed := time.After(timeout) // the deadlines come after that
		child := testproc.Start(t, "call", target, timeout.String())
		for range inFlight {
			select {
			case <-started:
			case <-passed:
				return
			}
		}
		child.Stop()
		select {
		case <-passed:
			return
		default:
			inTime = true
		}
		resume()
		for range inFlight / 2 {
			if _, err := other.UnaryCall(t.Context(), &request{}); err != nil {
				t.Errorf("another client: %v", err)
			}
			wantCode(t, next(t, ended, "the end of a handler"), codes.DeadlineExceeded)
		}
		mustReturn(t, "GracefulStop", srv.GracefulStop)
		child.Signal(syscall.SIGCONT)
	})
	return inTime
}
