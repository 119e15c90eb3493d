// Client asks the server for a greeting.
//
//	go run ./examples/client [target]
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
)

func run(ctx context.Context, out io.Writer, target string) error {
	conn, err := carpgrpc.NewClient(target)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	reply, err := greeterpb.NewGreeterClient(conn).Greet(ctx, &greeterpb.GreetRequest{Name: "Ada"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, reply.GetText())
	return nil
}

func main() {
	target := "shm:///tmp/carp-greeter.sock"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	if err := run(context.Background(), os.Stdout, target); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}
