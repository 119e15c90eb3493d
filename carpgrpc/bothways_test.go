package carpgrpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/leak"
)

func serving(srv *carpgrpc.Server) carpgrpc.ClientOption {
	return bothways.Serve(srv).(carpgrpc.ClientOption)
}

// backChannel is a server whose stream handler gives away the way back to its caller, and
// stays until its client is gone.
type backChannel struct{ callers chan grpc.ClientConnInterface }

func newBackChannel() backChannel {
	return backChannel{make(chan grpc.ClientConnInterface, 1)}
}

func (b backChannel) handlers() handlers {
	return handlers{stream: func(s incoming) error {
		b.callers <- bothways.Caller(s.Context())
		<-s.Context().Done()
		return nil
	}}
}

// link opens the stream on which the way back is got.
func (b backChannel) link(t *testing.T, c pb.TestServiceClient) grpc.ClientConnInterface {
	t.Helper()
	if _, err := c.FullDuplexCall(t.Context()); err != nil {
		t.Fatal(err)
	}
	return next(t, b.callers, "the stream's handler")
}

func TestCallsBothWays(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	b := newBackChannel()
	serveHandlers(t, b.handlers(), lis)
	back := newServer(handlers{})
	_, c := directClient(t, target, serving(back))
	conn := b.link(t, c)
	caller := pb.NewTestServiceClient(conn)

	// Both directions at once, unary calls of all sizes and streams.
	var wg sync.WaitGroup
	for _, c := range []pb.TestServiceClient{c, caller} {
		for i := range 4 {
			wg.Go(func() {
				for n := range 50 {
					size := (i*n*977 + n) % (256 << 10)
					if err := unary(t.Context(), c, size); err != nil {
						t.Errorf("unary call of %d bytes: %v", size, err)
					}
				}
			})
		}
	}
	wg.Go(func() {
		for range 50 {
			if err := stream(t.Context(), caller); err != nil {
				t.Errorf("stream: %v", err)
			}
		}
	})
	wg.Wait()
	if err := unknown(t.Context(), conn); status.Code(err) != codes.Unimplemented {
		t.Errorf("a call of an unknown method = %v, want Unimplemented", err)
	}
}

// A server without calls of its own, or over HTTP/2, has no way back.
func TestNoWayBack(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	b := newBackChannel()
	serveHandlers(t, b.handlers(), lis)
	_, c := directClient(t, target)
	if conn := b.link(t, c); conn != nil {
		t.Errorf("the way back to a client that serves nothing is %v", conn)
	}
	http := newClient(t, target, serving(newServer(handlers{})), carpgrpc.WithDialOptions(grpc.WithReadBufferSize(1<<10)))
	if conn := b.link(t, pb.NewTestServiceClient(http)); conn != nil {
		t.Errorf("the way back over HTTP/2 is %v", conn)
	}
	if conn := bothways.Caller(t.Context()); conn != nil {
		t.Errorf("the way back of no call at all is %v", conn)
	}
}

// Calls back are served with all that the server has been given, and see what others see.
func TestCallsBackAreCalls(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	b := newBackChannel()
	serveHandlers(t, b.handlers(), lis)
	deadline := make(chan time.Time, 1)
	back := newServer(handlers{unary: func(ctx context.Context, r *request) (*reply, error) {
		d, _ := ctx.Deadline()
		deadline <- d
		if err := grpc.SetTrailer(ctx, metadata.Pairs("trailer", "t")); err != nil {
			return nil, err
		}
		return &reply{Payload: r.Payload}, nil
	}}, carpgrpc.UnaryInterceptor(guardUnary), carpgrpc.MaxRecvMsgSize(1000))
	_, c := directClient(t, target, serving(back))
	caller := pb.NewTestServiceClient(b.link(t, c))
	wantCode(t, unary(t.Context(), caller, 10), codes.Unauthenticated)
	good := addToken(t.Context())
	wantCode(t, unary(good, caller, 2000), codes.ResourceExhausted)

	ctx, cancel := context.WithTimeout(good, time.Hour)
	defer cancel()
	var trailer metadata.MD
	if err := unary(ctx, caller, 10, grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if v := trailer.Get("trailer"); len(v) != 1 || v[0] != "t" {
		t.Errorf("the trailer is %v", trailer)
	}
	if left := time.Until(<-deadline); left < 30*time.Minute || left > time.Hour {
		t.Errorf("the handler had %v, want an hour", left)
	}
}

// Each end's handler calls the other end, which calls back, and so on.
func TestRecursionBothWays(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	deeper := func(ctx context.Context, r *request) (*reply, error) {
		n := len(r.Payload.Body)
		if n == 0 {
			return &reply{Payload: r.Payload}, nil
		}
		back := pb.NewTestServiceClient(bothways.Caller(ctx))
		got, err := back.UnaryCall(ctx, &request{Payload: body(r.Payload.Body[1:])})
		if err != nil {
			return nil, err
		}
		got.Payload.Body = append(got.Payload.Body, byte(n))
		return got, nil
	}
	serveHandlers(t, handlers{unary: deeper}, lis)
	_, c := directClient(t, target, serving(newServer(handlers{unary: deeper})))
	const depth = 40
	got, err := c.UnaryCall(t.Context(), &request{Payload: body(make([]byte, depth))})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range depth {
		want = append(want, byte(i+1))
	}
	if !bytes.Equal(got.Payload.Body, want) {
		t.Errorf("got %d, want %d", got.Payload.Body, want)
	}
}

// Calls in both directions end when the connection does, and the client's next one has a
// way back again.
func TestBothWaysDeath(t *testing.T) {
	for name, end := range map[string]func(srv, back *carpgrpc.Server, cc *carpgrpc.ClientConn){
		"the client closes":  func(_, _ *carpgrpc.Server, cc *carpgrpc.ClientConn) { cc.Close() },
		"the server stops":   func(srv, _ *carpgrpc.Server, _ *carpgrpc.ClientConn) { srv.Stop() },
		"the way back stops": func(_, back *carpgrpc.Server, _ *carpgrpc.ClientConn) { back.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			lis, target := direct(t)
			b := newBackChannel()
			srv := serveHandlers(t, b.handlers(), lis)
			started := make(chan struct{})
			ended := make(chan error, 1)
			back := newServer(handlers{stream: func(s incoming) error {
				close(started)
				<-s.Context().Done()
				ended <- s.Context().Err()
				return nil
			}})
			cc, c := directClient(t, target, serving(back))
			conn := b.link(t, c)
			s, err := pb.NewTestServiceClient(conn).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			<-started
			end(srv, back, cc)
			_, err = s.Recv()
			wantCode(t, err, codes.Unavailable)
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the context of the handler ended with %v", err)
			}
			wantCode(t, unary(t.Context(), pb.NewTestServiceClient(conn), 1), codes.Unavailable)
			wantCode(t, unary(t.Context(), pb.NewTestServiceClient(conn), 1, grpc.WaitForReady(true)), codes.Unavailable)
		})
	}
}

// The server that serves the way back stops gracefully: calls back go on, further ones are
// refused, and the client's own calls don't notice.
func TestBothWaysGoAway(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	b := newBackChannel()
	serveHandlers(t, b.handlers(), lis)
	started, release := make(chan struct{}), make(chan struct{})
	back := newServer(handlers{unary: func(_ context.Context, r *request) (*reply, error) {
		close(started)
		<-release
		return &reply{Payload: r.Payload}, nil
	}})
	_, c := directClient(t, target, serving(back))
	caller := pb.NewTestServiceClient(b.link(t, c))
	called := make(chan error, 1)
	go func() { called <- unary(t.Context(), caller, 10) }()
	<-started
	stopped := make(chan struct{})
	go func() { back.GracefulStop(); close(stopped) }()
	for status.Code(callEmpty(t.Context(), caller)) != codes.Unavailable { // once the wish has come
	}
	if err := unary(t.Context(), c, 10); err != nil {
		t.Errorf("a call of the client: %v", err)
	}
	close(release)
	if err := <-called; err != nil {
		t.Errorf("the call back under way: %v", err)
	}
	mustReturn(t, "GracefulStop", func() { <-stopped })
	if err := unary(t.Context(), c, 10); err != nil {
		t.Errorf("a call of the client after that: %v", err)
	}
}

func callEmpty(ctx context.Context, c pb.TestServiceClient) error {
	_, err := c.EmptyCall(ctx, &pb.Empty{})
	return err
}

// A connection on which only calls back are made is not idle.
func TestBothWaysIdle(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	callers := make(chan grpc.ClientConnInterface, 1)
	serveHandlers(t, handlers{unary: func(ctx context.Context, r *request) (*reply, error) {
		callers <- bothways.Caller(ctx)
		return &reply{Payload: r.Payload}, nil
	}}, lis)
	const idle = 500 * time.Millisecond
	cc, c := directClient(t, target, serving(newServer(handlers{})), carpgrpc.WithIdleTimeout(idle))
	connect := func() pb.TestServiceClient {
		if err := unary(t.Context(), c, 10); err != nil {
			t.Fatal(err)
		}
		return pb.NewTestServiceClient(next(t, callers, "a call"))
	}
	caller := connect()
	for begin, last := time.Now(), time.Now(); time.Since(begin) < 2*idle; {
		start := time.Now()
		err := unary(t.Context(), caller, 10)
		switch took := time.Since(last); { // the last call was under way for a part of that
		case err == nil:
			last = start
		case took < idle:
			t.Fatalf("%v after the last call: %v", took, err)
		default: // a busy machine has paused for so long that it was idle
			caller = connect()
			begin, last = time.Now(), time.Now()
		}
	}
	awaitTransport(t, cc, carpgrpc.None)
	var err error
	for err == nil { // the connection takes leave before it ends
		err = unary(t.Context(), caller, 10)
	}
	wantCode(t, err, codes.Unavailable)
}

// awaitTransport waits until cc speaks a transport.
func awaitTransport(t *testing.T, cc *carpgrpc.ClientConn, want carpgrpc.Transport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		state := cc.GetState()
		if cc.Transport() == want {
			return
		}
		if !cc.WaitForStateChange(ctx, state) {
			t.Fatalf("the transport stays %q, want %q", cc.Transport(), want)
		}
	}
}

// A method of an unknown service that is said to have one message each way is run in line
// when it is quick. Its handler may break that promise: then the messages go one by one.
func TestSingle(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	told := make(chan callers, 1)
	srv := carpgrpc.NewServer(
		bothways.Single(func(method string) bool { return !strings.HasSuffix(method, "EmptyCall") }).(carpgrpc.ServerOption),
		carpgrpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			told <- new(callers).take()
			method, _ := grpc.MethodFromServerStream(s)
			if strings.HasSuffix(method, "FullDuplexCall") {
				return sendThree(s)
			}
			return answerOne(s)
		}))
	start(t, srv, lis)
	_, c := directClient(t, target)
	<-told

	var header, trailer metadata.MD
	for ran := false; !ran; { // anybody can be preempted, and seem slow
		r, err := c.UnaryCall(t.Context(), &request{Payload: body([]byte("p"))}, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || string(r.GetPayload().GetBody()) != "p" {
			t.Fatalf("%v, %v", r, err)
		}
		ran = (<-told).contain(inLine)
	}
	if len(header.Get("head")) != 1 || len(trailer.Get("trail")) != 1 {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	_, err := c.UnaryCall(t.Context(), &request{Payload: body([]byte("fail"))})
	<-told
	wantCode(t, err, codes.Aborted)
	if _, err := c.EmptyCall(t.Context(), &pb.Empty{}); err != nil || (<-told).contain(inLine) {
		t.Errorf("another method: %v, or in line", err)
	}
	s, err := c.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Send(&pb.StreamingOutputCallRequest{}), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if r, err := s.Recv(); err != nil || !bytes.Equal(r.GetPayload().GetBody(), []byte{byte(i)}) {
			t.Errorf("message %d: %v, %v", i, r, err)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	<-told
}

// answerOne echoes, or fails when it has sent its answer.
func answerOne(s grpc.ServerStream) error {
	var r request
	if err := s.RecvMsg(&r); err != nil {
		return err
	}
	s.SetTrailer(metadata.Pairs("trail", "t"))
	err := errors.Join(s.SetHeader(metadata.Pairs("head", "h")), s.SendMsg(&reply{Payload: r.Payload}))
	if string(r.GetPayload().GetBody()) == "fail" {
		return status.Error(codes.Aborted, "after all")
	}
	return err
}

func sendThree(s grpc.ServerStream) error {
	for i := range 3 {
		if err := s.SendMsg(&pb.StreamingOutputCallResponse{Payload: body([]byte{byte(i)})}); err != nil {
			return err
		}
	}
	return nil
}
