package main

import (
	"bytes"
	"context"
	"io"
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

type greeter struct {
	greeterpb.UnimplementedGreeterServer
}

func (greeter) Greet(_ context.Context, req *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	return &greeterpb.GreetReply{Text: "greeted " + req.GetName()}, nil
}

func TestRun(t *testing.T) {
	for _, network := range []string{"shm", "unix"} {
		t.Run(network, func(t *testing.T) {
			if network == "shm" && runtime.GOOS != "linux" {
				testproc.Unable(t, "shared memory needs Linux")
			}
			dir := t.TempDir()
			leak.Check(t, dir)
			target := network + ":" + filepath.Join(dir, "greeter.sock")
			lis, err := dialer.Listen(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			server := carpgrpc.NewServer()
			greeterpb.RegisterGreeterServer(server, greeter{})
			served := make(chan error, 1)
			go func() { served <- server.Serve(lis) }()
			defer func() {
				server.Stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()

			var out bytes.Buffer
			if err := run(t.Context(), &out, target); err != nil {
				t.Fatal(err)
			}
			if got, want := out.String(), "greeted Ada\n"; got != want {
				t.Errorf("output %q, want %q", got, want)
			}
		})
	}
}

func TestRunWithoutAServer(t *testing.T) {
	leak.Check(t)
	err := run(t.Context(), io.Discard, "unix:"+filepath.Join(t.TempDir(), "greeter.sock"))
	if status.Code(err) != codes.Unavailable {
		t.Errorf("run() = %v, want Unavailable", err)
	}
}
