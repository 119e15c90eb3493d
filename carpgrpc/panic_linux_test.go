package carpgrpc_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// panicRole serves, at the target in its arguments, handlers that panic. What it writes to
// standard error goes where the test reads it. A second argument says what serves.
func panicRole(c *testproc.Child) error {
	if err := unix.Dup3(int(os.Stdout.Fd()), int(os.Stderr.Fd()), 0); err != nil {
		return err
	}
	lis, err := dialer.Listen(context.Background(), c.Args[0])
	if err != nil {
		return err
	}
	var srv interface {
		grpc.ServiceRegistrar
		Serve(lis net.Listener) error
	}
	switch c.Args[1] {
	case "grpc-go":
		srv = grpc.NewServer()
	case "own goroutines":
		srv = carpgrpc.NewServer(carpgrpc.HandlerGoroutines())
	default:
		srv = carpgrpc.NewServer()
	}
	pb.RegisterTestServiceServer(srv, handlers{
		unary:  func(context.Context, *request) (*reply, error) { panic("in a unary handler") },
		stream: func(incoming) error { panic(errors.New("in a stream handler")) },
	})
	go srv.Serve(lis)
	c.Ready("serving")
	_, _ = c.In.ReadString('\n')
	return nil
}

// A panic of a handler ends the process as it does with grpc-go, with the same words, and its
// callers get Unavailable.
func TestHandlerPanics(t *testing.T) {
	calls := map[string]func(context.Context, pb.TestServiceClient) error{
		"unary":  func(ctx context.Context, c pb.TestServiceClient) error { return unary(ctx, c, 10) },
		"stream": stream,
	}
	for name, call := range calls {
		want := panics(t, "unix", "grpc-go", call)
		if want.code != 2 || want.text == "" {
			t.Fatalf("with grpc-go: %+v", want)
		}
		for _, server := range []struct{ kind, serves string }{
			{"shm", "in line"}, {"shm", "own goroutines"}, {"unix", "HTTP/2"},
		} {
			t.Run(name+"/"+server.kind+", "+server.serves, func(t *testing.T) {
				leak.Check(t)
				if got := panics(t, server.kind, server.serves, call); got != want {
					t.Errorf("%+v, with grpc-go %+v", got, want)
				}
			})
		}
	}
}

// ending is how a process ended.
type ending struct {
	code int
	text string // the first line of its panic
}

// panics makes a call whose handler panics in another process, and tells how that ended.
func panics(t *testing.T, kind, serves string, call func(context.Context, pb.TestServiceClient) error) ending {
	t.Helper()
	target := targets(t)[kind]
	child := testproc.Start(t, "panic", target, serves)
	child.ReadLine()
	cc := newClient(t, target)
	defer cc.Close()
	c := pb.NewTestServiceClient(cc)
	if kind == "shm" {
		if err := callEmpty(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := cc.Transport(); got != carpgrpc.Direct {
			t.Fatalf("the transport is %q", got)
		}
	}
	wantCode(t, call(t.Context(), c), codes.Unavailable)
	var text string
	for !strings.HasPrefix(text, "panic: ") {
		text = child.ReadLine()
	}
	exit, ok := errors.AsType[*exec.ExitError](child.Wait())
	if !ok {
		t.Fatalf("the process has ended well, after %q", text)
	}
	return ending{exit.ExitCode(), text}
}
