package rpctest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The service under test has one method of each kind. Its description is
// written by hand, as generated code would write it, so that a case can put
// any function behind a method: one that reads too little, sends too much, or
// never returns.
const (
	serviceName        = "rpctest.v1.Test"
	unaryMethod        = "/rpctest.v1.Test/Unary"
	clientStreamMethod = "/rpctest.v1.Test/ClientStream"
	serverStreamMethod = "/rpctest.v1.Test/ServerStream"
	bidiMethod         = "/rpctest.v1.Test/Bidi"
)

// message is the request and the reply of every method: bytes, so that a case
// decides about each byte and each length.
type message = wrapperspb.BytesValue

func text(s string) *message { return &message{Value: []byte(s)} }

// zeros returns a message whose encoding is exactly size bytes long. Sizes
// below 8 don't occur in the suite.
func zeros(size int) *message {
	// One byte of tag, then the length as a varint, then the bytes.
	for prefix := 2; ; prefix++ {
		if n := size - prefix; 1+varintLen(n) == prefix {
			return &message{Value: make([]byte, n)}
		}
	}
}

func varintLen(n int) int {
	length := 1
	for n >= 0x80 {
		n >>= 7
		length++
	}
	return length
}

// handlers are the functions behind the methods of a case. Those that are nil
// are not called by it.
type handlers struct {
	unary        func(context.Context, *message) (*message, error)
	clientStream func(grpc.ServerStream) error
	serverStream func(grpc.ServerStream) error
	bidi         func(grpc.ServerStream) error
}

// echoUnary answers with the request.
func echoUnary(_ context.Context, m *message) (*message, error) { return m, nil }

// errNoHandler is what a method answers that a case doesn't mean to call.
var errNoHandler = status.Error(codes.Unimplemented, "the case has no handler for this method")

// desc describes the service. Every handler runs under the case's eyes, so
// that the case ends after its handlers.
func (h handlers) desc(e *env) *grpc.ServiceDesc {
	stream := func(name string, f func(grpc.ServerStream) error, client, server bool) grpc.StreamDesc {
		return grpc.StreamDesc{
			StreamName: name, ClientStreams: client, ServerStreams: server,
			Handler: func(_ any, ss grpc.ServerStream) error {
				defer e.handling()()
				if f == nil { // a broken stack lets calls through that should never get here
					return errNoHandler
				}
				return f(ss)
			},
		}
	}
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Unary",
			Handler: func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				defer e.handling()()
				return h.serveUnary(srv, ctx, dec, interceptor)
			},
		}},
		Streams: []grpc.StreamDesc{
			stream("ClientStream", h.clientStream, true, false),
			stream("ServerStream", h.serverStream, false, true),
			stream("Bidi", h.bidi, true, true),
		},
		Metadata: "rpctest.proto",
	}
}

// serveUnary is what generated code does for a unary method.
//
//nolint:revive // grpc.MethodDesc wants the context second
func (h handlers) serveUnary(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := new(message)
	if err := dec(in); err != nil {
		return nil, err
	}
	call := func(ctx context.Context, req any) (any, error) {
		if h.unary == nil {
			return nil, errNoHandler
		}
		return h.unary(ctx, req.(*message))
	}
	if interceptor == nil {
		return call(ctx, in)
	}
	return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: unaryMethod}, call)
}

// client calls the methods of the service over a connection.
type client struct{ Conn }

func (c client) unary(ctx context.Context, in *message, opts ...grpc.CallOption) (*message, error) {
	out := new(message)
	if err := c.Invoke(ctx, unaryMethod, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}

func (c client) bidi(ctx context.Context, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{StreamName: "Bidi", ClientStreams: true, ServerStreams: true}, bidiMethod, opts...)
}

func (c client) clientStream(ctx context.Context, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{StreamName: "ClientStream", ClientStreams: true}, clientStreamMethod, opts...)
}

// serverStream sends the one request and half-closes, as generated code does.
func (c client) serverStream(ctx context.Context, in *message, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	cs, err := c.NewStream(ctx, &grpc.StreamDesc{StreamName: "ServerStream", ServerStreams: true}, serverStreamMethod, opts...)
	if err != nil {
		return nil, err
	}
	if err := cs.SendMsg(in); err != nil {
		return nil, err
	}
	return cs, cs.CloseSend()
}
