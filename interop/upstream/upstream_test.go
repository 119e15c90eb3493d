package upstream_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/interop/upstream"
)

func TestMain(m *testing.M) {
	testproc.Main(m, map[string]testproc.Role{"serve": serve, "call": call})
}

// The two kinds of end: an unmodified grpc-go, and this module's.
const (
	stock = "grpc-go"
	ours  = "carpgrpc"
)

// plainTCP lets the ends talk over tcp without TLS.
var plainTCP = &dialer.Config{TCP: insecure.NewCredentials()}

// Every case passes between every pair of ends over every kind of connection.
// Server and client are processes of their own.
func TestCases(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"unix", "tcp", "shm"} {
		if kind == "shm" && runtime.GOOS != "linux" {
			continue // other systems have none
		}
		for _, server := range []string{stock, ours} {
			t.Run(fmt.Sprintf("%s server over %s", server, kind), func(t *testing.T) {
				target := map[string]string{
					"unix": "unix://" + filepath.Join(t.TempDir(), "s"),
					"tcp":  "tcp://127.0.0.1:0",
					"shm":  "shm://" + filepath.Join(t.TempDir(), "s"),
				}[kind]
				target = testproc.Start(t, "serve", server, target).ReadLine()
				for _, client := range []string{stock, ours} {
					for _, name := range upstream.Cases() {
						t.Run(client+"/"+name, func(t *testing.T) {
							if err := testproc.Start(t, "call", client, target, name).Wait(); err != nil {
								t.Errorf("%s fails: %v", name, err)
							}
						})
					}
				}
			})
		}
	}
}

// A case that fails is seen to fail: there is no service at the other end.
func TestFailureShows(t *testing.T) {
	leak.Check(t)
	target := "unix://" + filepath.Join(t.TempDir(), "s")
	target = testproc.Start(t, "serve", "nothing", target).ReadLine()
	for _, name := range upstream.Cases() {
		switch name {
		case "unimplemented_method", "unimplemented_service":
			continue // what they want is that nothing is there
		case "cancel_after_begin", "timeout_on_sleeping_server":
			continue // may give up before they learn that nothing is there
		}
		if err := testproc.Start(t, "call", stock, target, name).Wait(); err == nil {
			t.Errorf("%s passes without a server", name)
		}
	}
	if err := upstream.RunCase(t.Context(), "no_such_case", nil); err == nil {
		t.Error("a case that does not exist passes")
	}
}

// server is what both kinds of server have in common.
type server interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
}

// serve listens at a target, says at which, and serves until its input ends.
func serve(c *testproc.Child) error {
	lis, err := dialer.Listen(context.Background(), c.Args[1])
	if err != nil {
		return err
	}
	var srv server
	switch c.Args[0] {
	case ours:
		srv = carpgrpc.NewServer(carpgrpc.Creds(insecure.NewCredentials()))
		upstream.Register(srv)
	case stock:
		srv = grpc.NewServer(grpc.Creds(plainTCP.Credentials()))
		upstream.Register(srv)
	default:
		srv = grpc.NewServer(grpc.Creds(plainTCP.Credentials()))
	}
	go srv.Serve(lis)
	c.Ready("%s", dialer.TargetOf(lis.Addr()))
	c.In.ReadString('\n') // the end of the parent's interest
	return nil
}

// call runs one case as a client.
func call(c *testproc.Child) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if c.Args[0] == ours {
		cc, err := carpgrpc.NewClient(c.Args[1], carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer cc.Close()
		return upstream.RunCase(ctx, c.Args[2], cc)
	}
	target, opts, err := plainTCP.GRPC(c.Args[1])
	if err != nil {
		return err
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		return err
	}
	defer cc.Close()
	return upstream.RunCase(ctx, c.Args[2], cc)
}
