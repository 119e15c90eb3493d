package host_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	_ "github.com/carp-rpc/carp-go/codecs/json" // grpc.CallContentSubtype looks it up
	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

const greeterName = "carp.examples.greeter.v1.Greeter"

// greeter greets, and tells in metadata what it saw.
type greeter struct {
	greeterpb.UnimplementedGreeterServer
	greeting string
}

func (g greeter) Greet(ctx context.Context, r *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "no name")
	}
	if _, ok := peer.FromContext(ctx); !ok {
		return nil, errors.New("the context has no peer")
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("head", "h")); err != nil {
		return nil, err
	}
	return &greeterpb.GreetReply{Text: g.greeting + " " + r.GetName()}, nil
}

func (g greeter) GreetAll(stream grpc.BidiStreamingServer[greeterpb.GreetRequest, greeterpb.GreetReply]) error {
	stream.SetTrailer(metadata.Pairs("trail", "t"))
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&greeterpb.GreetReply{Text: g.greeting + " " + r.GetName()}); err != nil {
			return err
		}
	}
}

func greeterClient(t *testing.T, h *host.Host) greeterpb.GreeterClient {
	t.Helper()
	conn, err := h.RequireConn(testContext(t), greeterName)
	if err != nil {
		t.Fatal(err)
	}
	return greeterpb.NewGreeterClient(conn)
}

// A generated service is served like everything else, in every direction, even
// if it is registered when the host is up.
func TestGeneratedService(t *testing.T) {
	leak.Check(t)
	for _, direction := range []string{"forward", "back", "local"} {
		t.Run(direction, func(t *testing.T) {
			server, client := linked(t)
			exporter, caller := server, client
			switch direction {
			case "back":
				exporter, caller = client, server
			case "local":
				caller = exporter
			}
			greeterpb.RegisterGreeterServer(exporter, greeter{greeting: "Hello"})
			c := greeterClient(t, caller)
			for _, subtype := range []string{"", "proto", "msgpack", "json"} {
				var header metadata.MD
				var p peer.Peer
				opts := []grpc.CallOption{grpc.Header(&header), grpc.Peer(&p)}
				if subtype != "" {
					opts = append(opts, grpc.CallContentSubtype(subtype))
				}
				r, err := c.Greet(testContext(t), &greeterpb.GreetRequest{Name: "Ada"}, opts...)
				if err != nil || r.GetText() != "Hello Ada" || len(header.Get("head")) != 1 {
					t.Errorf("%q: %v, %v, header %v", subtype, r, err, header.Get("head"))
				}
			}
			_, err := c.Greet(testContext(t), &greeterpb.GreetRequest{})
			if status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != "no name" {
				t.Errorf("no name: %v", err)
			}
		})
	}
}

func TestGeneratedStream(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	greeterpb.RegisterGreeterServer(server, greeter{greeting: "Hello"})
	stream, err := greeterClient(t, client).GreetAll(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		name := strconv.Itoa(i)
		if err := stream.Send(&greeterpb.GreetRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || r.GetText() != "Hello "+name {
			t.Fatal(r, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if got := stream.Trailer().Get("trail"); len(got) != 1 {
		t.Errorf("trailer %v", got)
	}
}

// An option that can't be honoured is refused: it might guard something.
func TestCallOptionRefused(t *testing.T) {
	leak.Check(t)
	_, client := linked(t)
	greeterpb.RegisterGreeterServer(client, greeter{})
	_, err := greeterClient(t, client).Greet(testContext(t), &greeterpb.GreetRequest{Name: "x"},
		grpc.PerRPCCredentials(nil))
	checkError(t, err, "PerRPCCreds")
}

// Health and reflection are served to any gRPC client, by the same dispatcher.
func TestHealthAndReflection(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	conn := newForeignClient(t, h).conn
	greeterpb.RegisterGreeterServer(h, greeter{}) // late
	health, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
	services := func() (names []string) {
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.CloseSend()
		err = stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		return names
	}()
	for _, want := range []string{greeterName, "grpc.health.v1.Health", "carp.v1.Peer"} {
		found := false
		for _, name := range services {
			found = found || name == want
		}
		if !found {
			t.Errorf("reflection lists %v, without %s", services, want)
		}
	}
	// Version v1alpha is deprecated, and still what older clients speak.
	stream, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	request := &reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // see above
		//nolint:staticcheck // see above
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: greeterName},
	}
	err = stream.Send(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || len(r.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 { //nolint:staticcheck // see above
		t.Errorf("v1alpha: %v, %v", r, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the reflection stream ended with %v", err)
	}
}
