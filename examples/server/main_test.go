package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

func TestRun(t *testing.T) {
	for _, network := range []string{"shm", "unix"} {
		t.Run(network, func(t *testing.T) {
			if network == "shm" && runtime.GOOS != "linux" {
				testproc.Unable(t, "shared memory needs Linux")
			}
			dir := t.TempDir()
			leak.Check(t, dir)
			target := network + ":" + filepath.Join(dir, "greeter.sock")
			stop := serve(t, target)
			defer stop()

			conn, err := carpgrpc.NewClient(target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			greeter := greeterpb.NewGreeterClient(conn)
			reply, err := greeter.Greet(t.Context(), &greeterpb.GreetRequest{Name: "Ada"})
			if err != nil || reply.GetText() != "Hello, Ada!" {
				t.Errorf("Greet() = %v, %v", reply, err)
			}
			if _, err = greeter.Greet(t.Context(), &greeterpb.GreetRequest{}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("Greet() of nobody: %v, want InvalidArgument", err)
			}
		})
	}
}

// serve runs the server until stop is called, which makes sure that it ends well.
func serve(t *testing.T, target string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, out, target)
		out.Close()
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	if want := "serving on " + target + "\n"; err != nil || line != want {
		t.Fatalf("the server said %q (%v), want %q; run() = %v", line, err, want, <-done)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run() = %v after its context ended, want nil", err)
		}
	}
}

func TestRunWithABadTarget(t *testing.T) {
	leak.Check(t)
	err := run(t.Context(), io.Discard, "unix:"+filepath.Join(t.TempDir(), "missing", "greeter.sock"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("run() in a directory that doesn't exist = %v", err)
	}
	if err := run(t.Context(), io.Discard, "carrier-pigeon:coop"); !errors.Is(err, dialer.ErrUnknownScheme) {
		t.Errorf("run() with an unknown scheme = %v", err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	if err := run(t.Context(), io.Discard, "tcp://"+lis.Addr().String()); !errors.Is(err, dialer.ErrNoCredentials) {
		t.Errorf("run() on TCP without credentials = %v", err)
	}
}
