package upstream_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
	"github.com/carp-rpc/carp-go/interop/upstream"
)

// nothing is a server without services.
const nothing = "nothing"

func TestMain(m *testing.M) {
	testproc.Main(m, map[string]testproc.Role{"serve": serve, "call": call})
}

// Every case passes between every pair of ends over every kind of connection.
// Server and client are processes of their own.
func TestCases(t *testing.T) {
	leak.Check(t)
	for _, kind := range []string{"unix", "tcp", "shm"} {
		if kind == "shm" && runtime.GOOS != "linux" {
			continue // other systems have none
		}
		for _, server := range []string{upstream.Stock, upstream.Ours} {
			t.Run(fmt.Sprintf("%s server over %s", server, kind), func(t *testing.T) {
				target := map[string]string{
					"unix": "unix://" + filepath.Join(t.TempDir(), "s"),
					"tcp":  "tcp://127.0.0.1:0",
					"shm":  "shm://" + filepath.Join(t.TempDir(), "s"),
				}[kind]
				target = testproc.Start(t, "serve", server, target).ReadLine()
				for _, client := range []string{upstream.Stock, upstream.Ours} {
					for _, name := range upstream.Cases() {
						t.Run(client+"/"+name, func(t *testing.T) {
							want := carpgrpc.HTTP2
							if kind == "shm" && server == upstream.Ours && client == upstream.Ours {
								want = carpgrpc.Direct
							}
							if err := testproc.Start(t, "call", client, target, name, string(want)).Wait(); err != nil {
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
	target = testproc.Start(t, "serve", nothing, target).ReadLine()
	for _, name := range upstream.Cases() {
		switch name {
		case "unimplemented_method", "unimplemented_service":
			continue // what they want is that nothing is there
		case "cancel_after_begin", "timeout_on_sleeping_server":
			continue // may give up before they learn that nothing is there
		}
		if err := testproc.Start(t, "call", upstream.Stock, target, name, "").Wait(); err == nil {
			t.Errorf("%s passes without a server", name)
		}
	}
	if err := upstream.RunCase(t.Context(), "no_such_case", nil); err == nil {
		t.Error("a case that does not exist passes")
	}
}

// serve listens at a target, says at which, and serves until its input ends.
func serve(c *testproc.Child) error {
	lis, err := dialer.Listen(context.Background(), c.Args[1])
	if err != nil {
		return err
	}
	kind, registers := c.Args[0], true
	if kind == nothing {
		kind, registers = upstream.Stock, false
	}
	srv, err := upstream.NewServer(kind)
	if err != nil {
		return err
	}
	if registers {
		upstream.Register(srv)
	}
	go srv.Serve(lis)
	c.Ready("%s", dialer.TargetOf(lis.Addr()))
	c.In.ReadString('\n') // the end of the parent's interest
	return nil
}

// call runs one case as a client.
func call(c *testproc.Child) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cc, err := upstream.NewClient(c.Args[0], c.Args[1])
	if err != nil {
		return err
	}
	defer cc.Close()
	if ours, ok := cc.(*carpgrpc.ClientConn); ok {
		ours.Connect()
		for state := ours.GetState(); state != connectivity.Ready; state = ours.GetState() {
			if !ours.WaitForStateChange(ctx, state) {
				return fmt.Errorf("the client stays %v", state)
			}
		}
		if got := string(ours.Transport()); got != c.Args[3] {
			return fmt.Errorf("the transport is %q, want %q", got, c.Args[3])
		}
	}
	return upstream.RunCase(ctx, c.Args[2], cc)
}
