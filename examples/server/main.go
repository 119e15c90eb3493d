// Server serves a Greeter, by default over shared memory.
//
//	go run ./examples/server [target]
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
)

type greeter struct {
	greeterpb.UnimplementedGreeterServer
}

func (greeter) Greet(_ context.Context, req *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	if req.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "whom shall I greet? name is empty")
	}
	return &greeterpb.GreetReply{Text: "Hello, " + req.GetName() + "!"}, nil
}

// run serves until ctx ends. Calls that are under way then are finished.
func run(ctx context.Context, out io.Writer, target string) error {
	lis, err := dialer.Listen(ctx, target)
	if err != nil {
		return err
	}
	server := carpgrpc.NewServer()
	greeterpb.RegisterGreeterServer(server, greeter{})
	stop := context.AfterFunc(ctx, server.GracefulStop)
	defer stop()
	fmt.Fprintln(out, "serving on", target)
	return server.Serve(lis)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	target := "shm:///tmp/carp-greeter.sock"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	if err := run(ctx, os.Stdout, target); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}
