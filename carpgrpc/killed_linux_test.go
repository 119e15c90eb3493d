package carpgrpc_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// kills is how often a process is killed. How long it takes until the last call has ended is
// told, with the round in the middle first. What we aim at, 100 ms over the direct transport,
// can't be judged where a busy machine may not run this process for longer than that.
const kills = 3

// noticed bounds it, in each round. Calls without a deadline are ended by no timer: one that
// missed the end of its peer would wait for ever.
const noticed = 10 * time.Second

// victims are the transports over which processes are killed.
var victims = []struct {
	name, kind string
	opts       []carpgrpc.ClientOption
	role       []string // of the "call" role
	transport  carpgrpc.Transport
}{
	{"direct", "shm", nil, nil, carpgrpc.Direct},
	{"HTTP2 over shm", "shm", []carpgrpc.ClientOption{carpgrpc.WithDialOptions(grpc.EmptyDialOption{})}, []string{"HTTP2"}, carpgrpc.HTTP2},
	{"HTTP2 over unix", "unix", nil, nil, carpgrpc.HTTP2},
}

// kill ends a process without giving it the time to say anything.
func kill(t *testing.T, child *testproc.Proc) time.Time {
	t.Helper()
	if err := syscall.Kill(child.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// judge judges how long it took until the last of the calls had ended, in each round.
func judge(t *testing.T, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("the last of %d calls ended %v after the kill (median of %v)", inFlight, took[len(took)/2], took)
	if worst := took[len(took)-1]; worst > noticed {
		t.Errorf("the last call ended %v after the kill, want %v at most", worst, noticed)
	}
}

// A server that is killed ends the calls under way at once. A call that waits for a server
// waits, until there is one again at the same address.
func TestServerKilled(t *testing.T) {
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			leak.Check(t)
			target := targets(t)[v.kind]
			cc := newClient(t, target, append(v.opts, carpgrpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond},
			}))...)
			c := pb.NewTestServiceClient(cc)
			child := testproc.Start(t, "serve", target)
			child.ReadLine()
			if _, err := c.UnaryCall(t.Context(), &request{}); err != nil {
				t.Fatal(err)
			}
			var took []time.Duration
			for range kills {
				if got := cc.Transport(); got != v.transport {
					t.Fatalf("the transport is %q, want %q", got, v.transport)
				}
				errs := makeCalls(t.Context(), c, inFlight)
				for range inFlight {
					child.ReadLine()
				}
				killed := kill(t, child)
				for range inFlight {
					wantCode(t, next(t, errs, "the end of a call"), codes.Unavailable)
				}
				took = append(took, time.Since(killed))
				child.Kill() // reap it

				waiting := waitForServer(t, cc)
				child = testproc.Start(t, "serve", target)
				child.ReadLine()
				if err := next(t, waiting, "the end of the call that waits"); err != nil {
					t.Fatalf("a call that waited for the server: %v", err)
				}
			}
			judge(t, took)
		})
	}
}

// waitForServer begins a call that waits for a server when there is none.
func waitForServer(t *testing.T, cc *carpgrpc.ClientConn) <-chan error {
	t.Helper()
	c := pb.NewTestServiceClient(cc)
	if _, err := c.UnaryCall(t.Context(), &request{}); err == nil {
		t.Fatal("a call that does not wait found a server")
	} else {
		wantCode(t, err, codes.Unavailable)
	}
	waiting, begun := make(chan error, 1), make(chan struct{})
	go func() {
		close(begun)
		_, err := c.UnaryCall(t.Context(), &request{}, grpc.WaitForReady(true))
		waiting <- err
	}()
	<-begun
	// The other calls that don't wait fail meanwhile.
	if err := callEmpty(t.Context(), c); err == nil {
		t.Fatal("a second call that does not wait found a server")
	}
	select {
	case err := <-waiting:
		t.Fatalf("the call ended with %v, without a server", err)
	default:
	}
	return waiting
}

// A client that is killed ends the contexts of its handlers at once, and no others.
func TestClientKilled(t *testing.T) {
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			leak.Check(t)
			lis := listen(t, targets(t)[v.kind])
			target := dialer.TargetOf(lis.Addr())
			started, ended := make(chan struct{}, inFlight), make(chan error, inFlight)
			serveHandlers(t, hanging(started, ended), lis)
			other := pb.NewTestServiceClient(newClient(t, target, v.opts...))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			others := makeCalls(ctx, other, 2)
			for range 2 {
				next(t, started, "a handler")
			}
			var took []time.Duration
			for range kills {
				child := testproc.Start(t, "call", append([]string{target, time.Hour.String()}, v.role...)...)
				for range inFlight {
					next(t, started, "a handler")
				}
				killed := kill(t, child)
				for range inFlight {
					if err := next(t, ended, "the end of a handler's context"); !errors.Is(err, context.Canceled) {
						t.Errorf("the context of a handler ended with %v", err)
					}
				}
				took = append(took, time.Since(killed))
				child.Kill()
				if _, err := other.UnaryCall(t.Context(), &request{}); err != nil {
					t.Errorf("another client: %v", err)
				}
			}
			judge(t, took)
			select {
			case err := <-others:
				t.Errorf("a call of another client ended with %v", err)
			default:
			}
			cancel()
			for range 2 {
				wantCode(t, next(t, others, "the end of a call"), codes.Canceled)
			}
		})
	}
}
