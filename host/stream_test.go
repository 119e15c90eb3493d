package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

const testService = "grpc.testing.TestService"

// streamer serves streams of all kinds.
type streamer struct {
	pb.UnimplementedTestServiceServer
	ended chan error // how the contexts of FullDuplexCall ended, when they hang
}

func (streamer) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func (streamer) UnaryCall(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// StreamingOutputCall answers with messages of the sizes that are asked for, and
// then with the status.
func (streamer) StreamingOutputCall(r *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := s.SetHeader(metadata.Pairs("head", "h")); err != nil {
		return err
	}
	s.SetTrailer(metadata.Pairs("trail", "t"))
	for _, p := range r.GetResponseParameters() {
		body := &pb.Payload{Body: pattern(int(p.GetSize()))}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: body}); err != nil {
			return err
		}
	}
	if st := r.GetResponseStatus(); st.GetCode() != 0 {
		return status.Error(codes.Code(st.GetCode()), st.GetMessage())
	}
	return nil
}

// StreamingInputCall adds up the sizes.
func (streamer) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(r.GetPayload().GetBody())
		if r.GetPayload().GetType() != pb.PayloadType_COMPRESSABLE {
			return status.Error(codes.InvalidArgument, "enough")
		}
	}
}

// FullDuplexCall echoes, or hangs when it is told to.
func (x streamer) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.GetResponseStatus().GetMessage() == "hang" {
			if s.Send(&pb.StreamingOutputCallResponse{}) == nil {
				<-s.Context().Done()
			}
			x.ended <- s.Context().Err()
			return s.Context().Err()
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

// patterns is what test messages are cut from.
var patterns = sync.OnceValue(func() []byte {
	b := make([]byte, 4<<20)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
})

// pattern is n bytes that differ with n. They are not changed.
func pattern(n int) []byte { return patterns()[n%251:][:n] }

// ways are the wires that a call can take, with the two hosts of each: one that
// exports and one that calls.
func ways(t *testing.T, test func(t *testing.T, exporter, caller *host.Host)) {
	both := func(transport string, opts ...host.Option) (server, client *host.Host) {
		server, client = newHost(t, "server", opts...), newHost(t, "client", opts...)
		connect(t, client, listen(t, server, transport))
		return server, client
	}
	for _, transport := range transports() {
		t.Run(transport+" forward", func(t *testing.T) {
			leak.Check(t)
			server, client := both(transport)
			test(t, server, client)
			closeHosts(server, client)
		})
		t.Run(transport+" back", func(t *testing.T) {
			leak.Check(t)
			server, client := both(transport)
			test(t, client, server)
			closeHosts(server, client)
		})
	}
	t.Run("frames", func(t *testing.T) {
		leak.Check(t)
		server, client := both("unix", host.WithoutTunnel())
		test(t, client, server)
		closeHosts(server, client)
	})
	t.Run("local", func(t *testing.T) {
		leak.Check(t)
		h := newHost(t, "h")
		test(t, h, h)
		closeHosts(h)
	})
}

func closeHosts(hosts ...*host.Host) {
	for _, h := range hosts {
		h.Close()
	}
}

func testClient(t *testing.T, exporter, caller *host.Host) (pb.TestServiceClient, streamer) {
	t.Helper()
	impl := streamer{ended: make(chan error, 1)}
	if err := exporter.ExportService(&pb.TestService_ServiceDesc, impl); err != nil {
		t.Fatal(err)
	}
	conn, err := caller.RequireConn(testContext(t), testService)
	if err != nil {
		t.Fatal(err)
	}
	return pb.NewTestServiceClient(conn), impl
}

// Generated stubs work in either direction of every wire, with streams of every
// kind and messages of every size.
func TestStreams(t *testing.T) {
	ways(t, func(t *testing.T, exporter, caller *host.Host) {
		c, impl := testClient(t, exporter, caller)
		t.Run("output", func(t *testing.T) { testOutput(t, c) })
		t.Run("input", func(t *testing.T) { testInput(t, c) })
		t.Run("both", func(t *testing.T) { testBoth(t, c) })
		t.Run("many at a time", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { testBoth(t, c) })
				wg.Go(func() { testOutput(t, c) })
			}
			wg.Wait()
		})
		t.Run("failure", func(t *testing.T) { testFailure(t, c) })
		t.Run("cancel", func(t *testing.T) { testStreamCancel(t, c, impl) })
		t.Run("unread", func(t *testing.T) { testUnread(t, c) })
		t.Run("encoded", func(t *testing.T) {
			// Two empty messages, as protobuf has them.
			got, err := host.Echoed(t, caller, "/"+testService+"/FullDuplexCall", "", "")
			if err != nil || len(got) != 2 || got[0] != "" {
				t.Errorf("%q, %v", got, err)
			}
		})
	})
}

var sizes = []int32{0, 1, 100, 65535, 65536, 65537, 1 << 20, 5, 3 << 20, 0}

func testOutput(t *testing.T, c pb.TestServiceClient) {
	r := &pb.StreamingOutputCallRequest{}
	for _, n := range sizes {
		r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: n})
	}
	s, err := c.StreamingOutputCall(testContext(t), r)
	if err != nil {
		t.Error(err)
		return
	}
	if head, err := s.Header(); err != nil || len(head.Get("head")) != 1 {
		t.Errorf("header %v, %v", head, err)
	}
	for _, n := range sizes {
		m, err := s.Recv()
		if err != nil || !bytes.Equal(m.GetPayload().GetBody(), pattern(int(n))) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(m.GetPayload().GetBody()), err)
			return
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if len(s.Trailer().Get("trail")) != 1 {
		t.Errorf("trailer %v", s.Trailer())
	}
}

func testInput(t *testing.T, c pb.TestServiceClient) {
	s, err := c.StreamingInputCall(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range sizes {
		sum += int(n)
		if err := s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: pattern(int(n))}}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.CloseAndRecv(); err != nil || int(r.GetAggregatedPayloadSize()) != sum {
		t.Errorf("%v, %v, want %d", r, err, sum)
	}
	// A method that has enough answers before the caller has sent all.
	s, err = c.StreamingInputCall(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Type: 1, Body: pattern(100_000)}})
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("Send to a stream that has ended: %v", err)
	}
	if _, err := s.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v, want InvalidArgument", err)
	}
}

func testBoth(t *testing.T, c pb.TestServiceClient) {
	s, err := c.FullDuplexCall(testContext(t))
	if err != nil {
		t.Error(err)
		return
	}
	const rounds = 40
	sent := make(chan error, 1)
	size := func(i int) int { return i * i * 97 % 200_000 }
	go func() {
		for i := range rounds {
			if err := s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: pattern(size(i))}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for i := range rounds {
		m, err := s.Recv()
		if err != nil || !bytes.Equal(m.GetPayload().GetBody(), pattern(size(i))) {
			t.Errorf("message %d of %d bytes: %d bytes, %v", i, size(i), len(m.GetPayload().GetBody()), err)
			return
		}
	}
	if err := receive(t, sent, "the end of sending"); err != nil {
		t.Error(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

func testFailure(t *testing.T, c pb.TestServiceClient) {
	s, err := c.StreamingOutputCall(testContext(t), &pb.StreamingOutputCallRequest{
		ResponseParameters: []*pb.ResponseParameters{{Size: 3}},
		ResponseStatus:     &pb.EchoStatus{Code: int32(codes.Aborted), Message: "no more"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	if status.Code(err) != codes.Aborted || status.Convert(err).Message() != "no more" {
		t.Errorf("the stream ended with %v", err)
	}
	if len(s.Trailer().Get("trail")) != 1 {
		t.Errorf("trailer %v", s.Trailer())
	}
	half, err := c.HalfDuplexCall(testContext(t))
	if err == nil {
		_, err = half.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that isn't implemented: %v", err)
	}
}

func testStreamCancel(t *testing.T, c pb.TestServiceClient, impl streamer) {
	ctx, cancel := context.WithCancel(testContext(t))
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Message: "hang"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("the stream ended with %v, want Canceled", err)
	}
	if err := receive(t, impl.ended, "the end of the handler"); !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
}

// A stream that nobody reads holds up its own sender, and no other call.
func testUnread(t *testing.T, c pb.TestServiceClient) {
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	for range 12 { // more than the room for large messages of a link
		r := &pb.StreamingOutputCallRequest{}
		for range 20 {
			r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: 3 << 20})
		}
		if _, err := c.StreamingOutputCall(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{10, 1 << 20} {
		body := &pb.Payload{Body: pattern(n)}
		r, err := c.UnaryCall(testContext(t), &pb.SimpleRequest{Payload: body})
		if err != nil || !bytes.Equal(r.GetPayload().GetBody(), body.GetBody()) {
			t.Errorf("a call beside unread streams: %v", err)
		}
	}
	testOutput(t, c)
}

// A stream that is lost with its link ends Unavailable, and says that it had been
// opened.
func TestStreamLost(t *testing.T) {
	ways(t, func(t *testing.T, exporter, caller *host.Host) {
		if exporter == caller {
			return // a host isn't lost to itself
		}
		c, impl := testClient(t, exporter, caller)
		s, err := c.FullDuplexCall(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Message: "hang"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		for _, l := range caller.Links() {
			l.Close()
		}
		if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v, want Unavailable", err)
		}
		if err := receive(t, impl.ended, "the end of the handler"); err == nil {
			t.Error("the handler's context hasn't ended")
		}
		if _, err := c.EmptyCall(testContext(t), &pb.Empty{}); status.Code(err) != codes.Unavailable {
			t.Errorf("a call after that: %v, want Unavailable", err)
		}
		_, err = c.FullDuplexCall(testContext(t))
		if got := fmt.Sprint(err); status.Code(err) != codes.Unavailable {
			t.Errorf("a stream after that: %v, want Unavailable", got)
		}
	})
}
