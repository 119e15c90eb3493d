package host_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// plainGreeter is a handler of a server that knows nothing of this package.
type plainGreeter struct{ greeter }

func (g plainGreeter) Greet(ctx context.Context, r *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	if r.GetName() == "busy" {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("carp-session")) > 0 {
		return nil, errors.New("the server was sent a session")
	}
	return g.greeter.Greet(ctx, r)
}

// servePlain serves the Greeter with grpc-go, until the returned server is stopped.
func servePlain(t *testing.T, target, greeting string, register ...func(*grpc.Server)) (*grpc.Server, string) {
	t.Helper()
	network, address, _ := strings.Cut(target, "://")
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	greeterpb.RegisterGreeterServer(s, plainGreeter{greeter{greeting: greeting}})
	for _, r := range register {
		r(s)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(lis) // Stop ends it
	}()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	return s, dialTarget(target, lis.Addr())
}

func connectServer(t *testing.T, h *host.Host, target string, services ...string) *host.Link {
	t.Helper()
	l, err := h.ConnectServer(testContext(t), target, services...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func requireGreeter(t *testing.T, h *host.Host) greeterpb.GreeterClient {
	t.Helper()
	conn, err := h.RequireConn(testContext(t), greeterName)
	if err != nil {
		t.Fatal(err)
	}
	return greeterpb.NewGreeterClient(conn)
}

func TestPlainServer(t *testing.T) {
	for _, transport := range []string{"unix", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			_, target := servePlain(t, newTarget(t, transport), "hi")
			h := newHost(t, "h")
			l := connectServer(t, h, target, greeterName)
			if l.PeerLabel() != target || l.PeerID() == "" {
				t.Errorf("the link is with %q, id %q; want the target %s and an id", l.PeerLabel(), l.PeerID(), target)
			}
			checkPlainCalls(t, h)
		})
	}
}

// A carpgrpc.Server is a plain server, too, over whatever transport.
func TestPlainServerOverSharedMemory(t *testing.T) {
	if !slices.Contains(transports(), "shm") {
		return // they are all there are on this system
	}
	leak.Check(t)
	target := newTarget(t, "shm")
	lis, err := dialer.Listen(testContext(t), target)
	if err != nil {
		t.Fatal(err)
	}
	s := carpgrpc.NewServer()
	greeterpb.RegisterGreeterServer(s, plainGreeter{greeter{greeting: "hi"}})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(lis)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	h := newHost(t, "h")
	connectServer(t, h, target, greeterName)
	checkPlainCalls(t, h)
}

func checkPlainCalls(t *testing.T, h *host.Host) {
	t.Helper()
	ctx := testContext(t)
	client := requireGreeter(t, h)
	var header metadata.MD
	reply, err := client.Greet(ctx, &greeterpb.GreetRequest{Name: "Ann"}, grpc.Header(&header))
	if err != nil || reply.GetText() != "hi Ann" || !slices.Equal(header.Get("head"), []string{"h"}) {
		t.Errorf("Greet: %v, %v, header %v", reply, err, header)
	}
	if _, err = client.Greet(ctx, &greeterpb.GreetRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Greet without a name: %v", err)
	}
	// What the server itself says is not taken for the loss of the link.
	if _, err = client.Greet(ctx, &greeterpb.GreetRequest{Name: "busy"}); status.Convert(err).Message() != "not now" {
		t.Errorf("Greet of a busy server: %v", err)
	}
	stream, err := client.GreetAll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Bob", "Eve"} {
		if err := stream.Send(&greeterpb.GreetRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
		if reply, err := stream.Recv(); err != nil || reply.GetText() != "hi "+name {
			t.Errorf("GreetAll: %v, %v", reply, err)
		}
	}
	if err := errors.Join(stream.CloseSend(), ended(stream)); err != nil {
		t.Error(err)
	}

	greet := require[func(context.Context, *greeterpb.GreetRequest) (*greeterpb.GreetReply, error)](t, h, greeterName+".Greet", host.WithCodec("proto"))
	if reply, err := greet(ctx, &greeterpb.GreetRequest{Name: "Ann"}); err != nil || reply.GetText() != "hi Ann" {
		t.Errorf("the required function: %v, %v", reply, err)
	}
	if _, err := host.Call[any](ctx, h, greeterName+".Nothing"); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that it hasn't: %v", err)
	}
	for what, arg := range map[string]any{
		"callbacks":     func() error { return nil },
		"one-way calls": host.WithOneWay(),
	} {
		if _, err := host.Call[any](ctx, h, greeterName+".Greet", arg); err == nil || !strings.Contains(err.Error(), "is no carp host, and takes no "+what) {
			t.Errorf("%s end with %v", what, err)
		}
	}
}

// ended returns nil if the next thing that comes is the end.
func ended(stream greeterpb.Greeter_GreetAllClient) error {
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Without names a server is asked, by whichever reflection it has.
func TestPlainServerIsAsked(t *testing.T) {
	leak.Check(t)
	for name, register := range map[string]func(*grpc.Server){
		"v1": func(s *grpc.Server) { reflection.RegisterV1(s) },
		"v1alpha": func(s *grpc.Server) {
			reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(reflection.ServerOptions{Services: s}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, target := servePlain(t, newTarget(t, "unix"), "hi", register)
			h := newHost(t, "h")
			connectServer(t, h, target)
			if reply, err := requireGreeter(t, h).Greet(testContext(t), &greeterpb.GreetRequest{Name: "Ann"}); err != nil || reply.GetText() != "hi Ann" {
				t.Errorf("Greet: %v, %v", reply, err)
			}
			if got := h.Inspect().Links[0].Announced; !slices.Equal(got, []string{greeterName}) {
				t.Errorf("announced are %v", got)
			}
		})
	}
}

func TestPlainServerErrors(t *testing.T) {
	leak.Check(t)
	_, target := servePlain(t, newTarget(t, "unix"), "hi")
	h := newHost(t, "h")
	wants := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	_, err := h.Connect(testContext(t), target)
	wants("see Host.ConnectServer", err)
	_, err = h.ConnectServer(testContext(t), target)
	wants("name them", err)
	_, err = h.ConnectServer(testContext(t), target, "no name")
	wants("no name", err)
	_, err = h.ConnectServer(testContext(t), newTarget(t, "unix"), greeterName)
	wants("no such file", err)
	if links := h.Links(); len(links) > 0 {
		t.Errorf("there are %d links left", len(links))
	}
}

// What a stranger answers by reflection is an announcement; what is named here is
// consented to.
func TestPlainServerThatIsAStranger(t *testing.T) {
	leak.Check(t)
	_, target := servePlain(t, newTarget(t, "tcp"), "hi", func(s *grpc.Server) { reflection.RegisterV1(s) })
	h, err := host.New("h", host.WithInsecureTCP(), host.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	l := connectServer(t, h, target)
	if got := h.Inspect().Links[0].Refused; !slices.Equal(got, []string{greeterName}) {
		t.Errorf("refused are %v", got)
	}
	l.Close()
	<-l.Done()
	connectServer(t, h, target, greeterName)
	if _, err := requireGreeter(t, h).Greet(testContext(t), &greeterpb.GreetRequest{Name: "Ann"}); err != nil {
		t.Error(err)
	}
}

// A server that is replaced is found again. One that stops in good order keeps the
// calls that it has, while new ones go to its successor.
func TestPlainServerIsReplaced(t *testing.T) {
	leak.Check(t)
	target := newTarget(t, "unix")
	first, _ := servePlain(t, target, "first")
	h := newHost(t, "h")
	old := connectServer(t, h, target, greeterName)
	client := requireGreeter(t, h)
	ctx := testContext(t)
	stream, err := client.GreetAll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip := func() {
		t.Helper()
		if err := stream.Send(&greeterpb.GreetRequest{Name: "Bob"}); err != nil {
			t.Fatal(err)
		}
		if reply, err := stream.Recv(); err != nil || reply.GetText() != "first Bob" {
			t.Fatalf("GreetAll: %v, %v", reply, err)
		}
	}
	roundTrip()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		first.GracefulStop()
	}()
	second := serveSuccessor(t, target)
	greet(ctx, t, client, "second Ann")
	roundTrip()
	if err := errors.Join(stream.CloseSend(), ended(stream)); err != nil {
		t.Error(err)
	}
	<-stopped
	<-old.Done()
	second.Stop()
	servePlain(t, target, "third")
	greet(ctx, t, client, "third Ann")
}

// serveSuccessor serves where another has just been told to stop.
func serveSuccessor(t *testing.T, target string) *grpc.Server {
	t.Helper()
	_, address, _ := strings.Cut(target, "://")
	ctx := testContext(t)
	for { // the first server has the name until it begins to stop
		lis, err := net.Listen("unix", address)
		if err == nil {
			lis.Close()
			s, _ := servePlain(t, target, "second")
			return s
		}
		if ctx.Err() != nil {
			t.Fatal("waiting for the first server to stop listening:", err)
		}
		runtime.Gosched()
	}
}

// greet waits until the server that answers is the one that is meant.
func greet(ctx context.Context, t *testing.T, client greeterpb.GreeterClient, want string) {
	t.Helper()
	for {
		reply, err := client.Greet(ctx, &greeterpb.GreetRequest{Name: "Ann"}, grpc.WaitForReady(true))
		if reply.GetText() == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("waiting for %q: %v, %v", want, reply, err)
		}
	}
}
