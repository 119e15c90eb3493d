package dialer_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/carp-rpc/carp-go/dialer"
)

// A connection is a net.Conn whatever the target.
func Example() {
	dir, err := os.MkdirTemp("", "carp-")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	lis, err := dialer.Listen(ctx, "unix://"+filepath.Join(dir, "echo.sock"))
	if err != nil {
		log.Panic(err)
	}
	defer lis.Close()
	go func() {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()

	conn, err := dialer.Dial(ctx, dialer.TargetOf(lis.Addr()))
	if err != nil {
		log.Panic(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	reply := make([]byte, 5)
	if _, err := io.ReadFull(conn, reply); err != nil {
		log.Panic(err)
	}
	fmt.Printf("%s over %s\n", reply, conn.RemoteAddr().Network())
	// Output: hello over unix
}

// An existing gRPC server and client, moved to a unix socket. The handler can ask
// which process calls.
func ExampleGRPC() {
	dir, err := os.MkdirTemp("", "carp-")
	if err != nil {
		log.Panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	// The server.
	lis, err := dialer.Listen(ctx, "unix://"+filepath.Join(dir, "app.sock"))
	if err != nil {
		log.Panic(err)
	}
	whoCalls := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		peer, ok := dialer.PeerFromContext(ctx)
		fmt.Println("called by this process:", ok && peer.PID == os.Getpid())
		return next(ctx, req)
	}
	srv := grpc.NewServer(grpc.Creds(dialer.Credentials()), grpc.UnaryInterceptor(whoCalls))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	go srv.Serve(lis)
	defer srv.Stop()

	// The client.
	target, opts, err := dialer.GRPC(dialer.TargetOf(lis.Addr()))
	if err != nil {
		log.Panic(err)
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		log.Panic(err)
	}
	defer cc.Close()
	reply, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(reply.Status)
	// Output:
	// called by this process: true
	// SERVING
}
