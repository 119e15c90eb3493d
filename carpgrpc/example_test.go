package carpgrpc_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
)

// A server and a client of the health service. Generated code takes Server for a
// grpc.ServiceRegistrar and ClientConn for a grpc.ClientConnInterface.
func Example() {
	dir, err := os.MkdirTemp("", "carp-")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	target := "unix://" + filepath.Join(dir, "app.sock")

	// The server. Reflection lets tools such as grpcurl list what there is.
	lis, err := dialer.Listen(ctx, target)
	if err != nil {
		log.Panic(err)
	}
	srv := carpgrpc.NewServer()
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.Register(srv)
	go srv.Serve(lis)
	defer srv.GracefulStop()

	// The client.
	cc, err := carpgrpc.NewClient(target)
	if err != nil {
		log.Panic(err)
	}
	defer cc.Close()
	reply, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(reply.GetStatus(), "over", cc.Transport())
	// Output: SERVING over HTTP/2
}
