package otel_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// env is one server and one client of it, both watched by one recorder.
type env struct {
	stack stack
	cc    conn
	pb.TestServiceClient
	service *service
	said    []string // what the calls gave
}

// say takes down how a call ended.
func (e *env) say(what string, err error) {
	s := status.Convert(err)
	e.said = append(e.said, fmt.Sprintf("%s: %v %q", what, s.Code(), s.Message()))
}

// callNobody calls a method that nobody registered. It sends nothing: grpc-go's own spans
// depend on whether that is before or after the refusal.
func (e *env) callNobody(ctx context.Context, method string) {
	s, err := e.cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		err = s.RecvMsg(&pb.Empty{})
	}
	e.say("nobody", err)
}

// passing is a context whose deadline passes when its time has come, not by the clock: which
// end notices a real one first is chance.
type passing struct {
	context.Context

	passed chan struct{}
}

func deadline(ctx context.Context) (_ context.Context, pass func()) {
	p := passing{ctx, make(chan struct{})}
	return p, func() { close(p.passed) }
}

func (passing) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (p passing) Done() <-chan struct{}     { return p.passed }

func (p passing) Err() error {
	select {
	case <-p.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// calls are what is watched, and how many spans end there besides the caller's own.
var calls = []struct {
	name  string
	spans int
	call  func(ctx context.Context, e *env)
}{
	{"unary", 2, func(ctx context.Context, e *env) {
		r, err := e.UnaryCall(ctx, &pb.SimpleRequest{})
		e.say("baggage "+r.GetUsername(), err)
	}},
	{"call of a handler", 5, func(ctx context.Context, e *env) {
		r, err := e.UnaryCall(ctx, &pb.SimpleRequest{FillUsername: true})
		e.say("baggage "+r.GetUsername(), err)
	}},
	{"each status", 2 * 16, func(ctx context.Context, e *env) {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			_, err := e.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: "of the handler"}})
			e.say("status", err)
		}
	}},
	{"server stream", 2, func(ctx context.Context, e *env) {
		s, err := e.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: make([]*pb.ResponseParameters, 3)})
		for err == nil {
			_, err = s.Recv()
		}
		e.said = append(e.said, err.Error())
	}},
	{"client stream", 2, func(ctx context.Context, e *env) {
		s, err := e.StreamingInputCall(ctx)
		for i := 0; i < 3 && err == nil; i++ {
			err = s.Send(&pb.StreamingInputCallRequest{})
		}
		if err == nil {
			_, err = s.CloseAndRecv()
		}
		e.say("sum", err)
	}},
	{"bidi stream that fails", 2, func(ctx context.Context, e *env) {
		s, err := e.FullDuplexCall(ctx)
		for i := 0; i < 3 && err == nil; i++ {
			if err = s.Send(&pb.StreamingOutputCallRequest{}); err == nil {
				_, err = s.Recv()
			}
		}
		if err == nil {
			err = s.CloseSend()
		}
		if err == nil {
			_, err = s.Recv()
		}
		e.say("bidi", err)
	}},
	{"canceled", 2, func(ctx context.Context, e *env) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { <-e.service.started; cancel() }()
		_, err := e.EmptyCall(ctx, &pb.Empty{})
		close(e.service.release)
		e.say("canceled", err)
	}},
	{"deadline", 2, func(ctx context.Context, e *env) {
		ctx, pass := deadline(ctx)
		go func() { <-e.service.started; pass() }()
		_, err := e.EmptyCall(ctx, &pb.Empty{})
		close(e.service.release)
		e.say("deadline", err)
	}},
	{"unknown service", 1, func(ctx context.Context, e *env) { e.callNobody(ctx, "/no.such.Service/Method") }},
	{"unknown method", 1, func(ctx context.Context, e *env) { e.callNobody(ctx, "/grpc.testing.TestService/NoSuchMethod") }},
	{"refused before it is sent", 0, func(ctx context.Context, e *env) {
		_, err := e.UnaryCall(metadata.AppendToOutgoingContext(ctx, "bad key", "v"), &pb.SimpleRequest{})
		e.said = append(e.said, fmt.Sprint(status.Code(err)))
	}},
}

// watch makes the calls of one case on a stack, and tells what OpenTelemetry saw.
func watch(t *testing.T, s stack, spans int, call func(context.Context, *env)) []string {
	t.Helper()
	r := newRecorder()
	options := []otelgrpc.Option{
		otelgrpc.WithTracerProvider(r.traces),
		otelgrpc.WithMeterProvider(r.metrics),
		otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}
	e, stop := s.start(t, otelgrpc.NewServerHandler(options...), otelgrpc.NewClientHandler(options...))
	tracer := r.traces.Tracer("test")
	e.service.trace = tracer

	user, err := baggage.NewMember("user", "somebody")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(user)
	if err != nil {
		t.Fatal(err)
	}
	ctx, root := tracer.Start(baggage.ContextWithBaggage(t.Context(), bag), "caller")
	call(ctx, e)
	root.End()
	r.await(t, 1+spans)
	stop()
	return append(e.said, r.lines(t)...)
}

// start starts a server and a client of it.
func (s stack) start(t *testing.T, onServer, onClient stats.Handler) (e *env, stop func()) {
	t.Helper()
	e = &env{stack: s, service: &service{started: make(chan struct{}), release: make(chan struct{})}}
	lis, target := s.listen(t)
	srv := s.server(onServer)
	pb.RegisterTestServiceServer(srv, e.service)
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(lis) }()
	var err error
	if e.cc, err = s.client(target, onClient); err != nil {
		t.Fatal(err)
	}
	e.TestServiceClient = pb.NewTestServiceClient(e.cc)
	e.service.self = e.TestServiceClient
	return e, func() {
		if cc, ok := e.cc.(*carpgrpc.ClientConn); ok && cc.Transport() != s.transport && cc.Transport() != carpgrpc.None {
			t.Errorf("the transport was %q, want %q", cc.Transport(), s.transport)
		}
		e.cc.Close()
		srv.GracefulStop()
		<-served
	}
}

// What otelgrpc tells of calls is the same over every transport as it is over plain grpc-go.
func TestLikeGRPC(t *testing.T) {
	leak.Check(t)
	for _, mode := range []string{"", "rpc/dup"} { // the second has the older conventions besides
		t.Setenv("OTEL_SEMCONV_STABILITY_OPT_IN", mode)
		for _, c := range calls {
			want := watch(t, reference(), c.spans, c.call)
			if testing.Verbose() {
				for _, line := range want {
					t.Logf("%s: %s", c.name, line)
				}
			}
			for _, s := range stacks() {
				t.Run(fmt.Sprintf("%s/%s%s", s.name, c.name, mode), func(t *testing.T) {
					got := watch(t, s, c.spans, c.call)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("what grpc-go shows (-) and this (+):\n%s", diff)
					}
				})
			}
		}
	}
}

// A stack that tells something else is found out.
func TestDifferencesShow(t *testing.T) {
	leak.Check(t)
	want := watch(t, reference(), calls[0].spans, calls[0].call)
	mutants := map[string]func(*stack){
		"no trace from the client": func(s *stack) {
			client := s.client
			s.client = func(target string, h stats.Handler) (conn, error) { return client(target, forgetful{h}) }
		},
		"no end of the server's span": func(s *stack) {
			inner := s.server
			s.server = func(h stats.Handler) server { return inner(endless{h}) }
		},
	}
	for name, change := range mutants {
		s := reference()
		change(&s)
		if got := watch(t, s, 1, calls[0].call); cmp.Diff(want, got) == "" {
			t.Errorf("%s: no difference is seen", name)
		}
	}
	if got := watch(t, reference(), calls[0].spans, calls[0].call); cmp.Diff(want, got) != "" {
		t.Errorf("grpc-go differs from itself:\n%s", cmp.Diff(want, got))
	}
}

// forgetful is a handler whose propagated metadata is lost.
type forgetful struct{ stats.Handler }

func (h forgetful) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewOutgoingContext(h.Handler.TagRPC(ctx, info), md)
}

// endless is a handler that is not told of ends.
type endless struct{ stats.Handler }

func (h endless) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, end := s.(*stats.End); !end {
		h.Handler.HandleRPC(ctx, s)
	}
}
