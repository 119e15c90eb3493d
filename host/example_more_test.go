package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// A call names its codec, and is answered in the same.
func ExampleWithCodec() {
	server, client, end := pair()
	defer end()
	server.Export("area", func(width, height float64) float64 { return width * height })
	for _, codec := range []string{"msgpack", "json", "proto"} {
		area, err := host.Require[func(float64, float64) (float64, error)](context.Background(), client, "area", host.WithCodec(codec))
		if err != nil {
			fatal(err)
		}
		n, err := area(2, 1.5)
		fmt.Println(codec, n, err)
	}
	// Output:
	// msgpack 3 <nil>
	// json 3 <nil>
	// proto 3 <nil>
}

// Deadline and metadata of a call reach the function, which also learns who calls.
func ExampleCaller() {
	server, client, end := pair()
	defer end()
	server.Export("whoami", func(ctx context.Context) string {
		who, _ := host.Caller(ctx)
		md, _ := metadata.FromIncomingContext(ctx)
		_, limited := ctx.Deadline()
		return fmt.Sprintf("%s of %s, with a deadline: %t", who.Label, md.Get("tenant"), limited)
	})
	whoami, err := host.Require[func(context.Context) (string, error)](context.Background(), client, "whoami")
	if err != nil {
		fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), host.DefaultTimeout)
	defer cancel()
	fmt.Println(whoami(metadata.AppendToOutgoingContext(ctx, "tenant", "north")))
	// Output: client of [north], with a deadline: true <nil>
}

// Many calls are under way at a time. They have no order among them, but what they
// return has.
func ExampleGo() {
	server, client, end := pair()
	defer end()
	server.Export("square", func(n int) int { return n * n })
	ctx := context.Background()
	var squares []*host.Future[int]
	for n := range 4 {
		squares = append(squares, host.Go[int](ctx, client, "square", n, host.WithWaitForReady(true)))
	}
	for _, s := range squares {
		fmt.Println(s.Wait(ctx))
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
}

// An authorizer is asked about every call, before anything of it is decoded.
func ExampleWithAuthorizer() {
	server, client, end := pair(host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		if a.Action == host.ActionCall && a.Service == "vault" {
			return errors.New("the vault is shut")
		}
		return nil
	}))
	defer end()
	server.Export("vault", func() string { return "gold" })
	server.Export("shop", func() string { return "bread" })
	ctx := context.Background()
	for _, name := range []string{"shop", "vault"} {
		got, err := host.Call[string](ctx, client, name, host.WithWaitForReady(true))
		fmt.Printf("%q %v\n", got, status.Code(err))
	}
	// Output:
	// "bread" OK
	// "" PermissionDenied
}

// An interceptor is run around each call that a host serves.
func ExampleWithInterceptor() {
	server, client, end := pair(host.WithInterceptor(
		func(ctx context.Context, info *host.CallInfo, next func(context.Context) error) error {
			fmt.Println(info.Caller.Label, "calls", info.Name())
			return next(ctx)
		}))
	defer end()
	server.Export("double", func(n int) int { return 2 * n })
	fmt.Println(host.Call[int](context.Background(), client, "double", 21, host.WithWaitForReady(true)))
	// Output:
	// client calls double
	// 42 <nil>
}

// Other clients are generated from the .proto file of a Go function.
func ExampleHost_ProtoSource() {
	server, _, end := pair()
	defer end()
	server.Export("geo.Plane.Distance", func(x, y float64) float64 { return x - y }, host.WithParams("x", "y"))
	files, err := server.ProtoSource("geo.Plane")
	for _, text := range files { // of the function, and of what it fails with
		for line := range strings.Lines(text) {
			if strings.Contains(line, "rpc Distance") {
				fmt.Println(strings.TrimSpace(line))
			}
		}
	}
	fmt.Println(err)
	// Output:
	// rpc Distance(.carp.gen.geo.Plane.DistanceRequest) returns (.carp.gen.geo.Plane.DistanceResponse);
	// <nil>
}

// What a gRPC server exports that is no host is required as that of a host.
func ExampleHost_ConnectServer() {
	dir, err := os.MkdirTemp("", "carp")
	if err != nil {
		fatal(err)
	}
	defer os.RemoveAll(dir)
	address := filepath.Join(dir, "s")
	lis, err := net.Listen("unix", address)
	if err != nil {
		fatal(err)
	}
	server := grpc.NewServer()
	greeterpb.RegisterGreeterServer(server, greeter{greeting: "Hello"})
	go server.Serve(lis)
	defer server.Stop()

	client, err := host.New("client")
	if err != nil {
		fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	const service = "carp.examples.greeter.v1.Greeter"
	if _, err := client.ConnectServer(ctx, "unix://"+address, service); err != nil {
		fatal(err)
	}
	conn, err := client.RequireConn(ctx, service)
	if err != nil {
		fatal(err)
	}
	reply, err := greeterpb.NewGreeterClient(conn).Greet(ctx, &greeterpb.GreetRequest{Name: "Ada"})
	fmt.Println(reply.GetText(), err)
	// Output: Hello Ada <nil>
}
