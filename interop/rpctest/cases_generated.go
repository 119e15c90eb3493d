package rpctest

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// generatedServer implements the service of grpc's own interoperability tests
// with its generated code, whose streams are generic types.
type generatedServer struct {
	testpb.UnimplementedTestServiceServer
	e *env
}

func (generatedServer) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (s generatedServer) UnaryCall(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	defer s.e.handling()()
	if st := in.GetResponseStatus(); st != nil {
		return nil, status.Error(codes.Code(st.GetCode()), st.GetMessage())
	}
	return &testpb.SimpleResponse{Payload: in.GetPayload()}, nil
}

func (s generatedServer) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	defer s.e.handling()()
	for _, p := range in.GetResponseParameters() {
		body := make([]byte, p.GetSize())
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: body}}); err != nil {
			return err
		}
	}
	return nil
}

func (s generatedServer) StreamingInputCall(stream grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	defer s.e.handling()()
	total := 0
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		total += len(in.GetPayload().GetBody())
	}
}

func (s generatedServer) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	defer s.e.handling()()
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// generatedCases use generated stubs, as programs do.
func generatedCases() []testCase {
	return []testCase{{
		name: "generated/every kind of call",
		rule: "Generated stubs work unchanged, with generic stream types, and what the server leaves out is Unimplemented.",
		run:  generatedStubs,
	}}
}

func generatedStubs(e *env) {
	c := testpb.NewTestServiceClient(e.dial(e.serve(handlers{}, func(cfg *ServerConfig) {
		cfg.Register = func(r grpc.ServiceRegistrar) { testpb.RegisterTestServiceServer(r, generatedServer{e: e}) }
	})))
	payload := func(s string) *testpb.Payload { return &testpb.Payload{Body: []byte(s)} }

	_, err := c.EmptyCall(e.ctx, &testpb.Empty{})
	e.client("empty: %s", showError(err))
	reply, err := c.UnaryCall(e.ctx, &testpb.SimpleRequest{Payload: payload("unary")})
	e.client("unary: %q %s", reply.GetPayload().GetBody(), showError(err))
	_, err = c.UnaryCall(e.ctx, &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: 7, Message: "no"}})
	e.client("failing: %s", showError(err))
	_, err = c.CacheableUnaryCall(e.ctx, &testpb.SimpleRequest{})
	e.client("left out: %s", showError(err))
	_, err = c.UnimplementedCall(e.ctx, &testpb.Empty{})
	e.client("left out too: %s", showError(err))

	out, err := c.StreamingOutputCall(e.ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 1}, {Size: 70_000}}})
	e.client("server stream: %s", showError(err))
	for err == nil {
		var m *testpb.StreamingOutputCallResponse
		m, err = out.Recv()
		e.client("%d bytes, %s", len(m.GetPayload().GetBody()), showError(err))
	}

	in, err := c.StreamingInputCall(e.ctx)
	e.client("client stream: %s", showError(err))
	for _, s := range []string{"a", "bc", "def"} {
		e.client("send: %s", showError(in.Send(&testpb.StreamingInputCallRequest{Payload: payload(s)})))
	}
	sum, err := in.CloseAndRecv()
	e.client("%d in all, %s", sum.GetAggregatedPayloadSize(), showError(err))

	duplex, err := c.FullDuplexCall(e.ctx)
	e.client("bidi: %s", showError(err))
	e.client("send: %s", showError(duplex.Send(&testpb.StreamingOutputCallRequest{Payload: payload("ping")})))
	m, err := duplex.Recv()
	e.client("%q %s", m.GetPayload().GetBody(), showError(err))
	e.client("half-close: %s", showError(duplex.CloseSend()))
	_, err = duplex.Recv()
	e.client("end: %s", showError(err))

	half, err := c.HalfDuplexCall(e.ctx)
	e.client("left out stream: %s", showError(err))
	_, err = half.Recv()
	e.client("%s", showError(err))
}
