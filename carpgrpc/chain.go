package carpgrpc

import (
	"context"

	"google.golang.org/grpc"
)

// chainUnary makes one interceptor of all: first is the outermost. It is nil if there is none.
func chainUnary(first grpc.UnaryServerInterceptor, rest []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	all := rest
	if first != nil {
		all = append([]grpc.UnaryServerInterceptor{first}, rest...)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return all[0](ctx, req, info, unaryRest(all[1:], info, handler))
	}
}

func unaryRest(rest []grpc.UnaryServerInterceptor, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) grpc.UnaryHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(ctx context.Context, req any) (any, error) {
		return rest[0](ctx, req, info, unaryRest(rest[1:], info, handler))
	}
}

// chainStream is chainUnary for streams.
func chainStream(first grpc.StreamServerInterceptor, rest []grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	all := rest
	if first != nil {
		all = append([]grpc.StreamServerInterceptor{first}, rest...)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return all[0](srv, ss, info, streamRest(all[1:], info, handler))
	}
}

func streamRest(rest []grpc.StreamServerInterceptor, info *grpc.StreamServerInfo, handler grpc.StreamHandler) grpc.StreamHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(srv any, ss grpc.ServerStream) error {
		return rest[0](srv, ss, info, streamRest(rest[1:], info, handler))
	}
}

// chainUnaryClient is chainUnary for clients.
func chainUnaryClient(first grpc.UnaryClientInterceptor, rest []grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	all := rest
	if first != nil {
		all = append([]grpc.UnaryClientInterceptor{first}, rest...)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return all[0](ctx, method, req, reply, cc, invokerRest(all[1:], invoker), opts...)
	}
}

func invokerRest(rest []grpc.UnaryClientInterceptor, invoker grpc.UnaryInvoker) grpc.UnaryInvoker {
	if len(rest) == 0 {
		return invoker
	}
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
		return rest[0](ctx, method, req, reply, cc, invokerRest(rest[1:], invoker), opts...)
	}
}

// chainStreamClient is chainUnary for the streams of clients.
func chainStreamClient(first grpc.StreamClientInterceptor, rest []grpc.StreamClientInterceptor) grpc.StreamClientInterceptor {
	all := rest
	if first != nil {
		all = append([]grpc.StreamClientInterceptor{first}, rest...)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return all[0](ctx, desc, cc, method, streamerRest(all[1:], streamer), opts...)
	}
}

func streamerRest(rest []grpc.StreamClientInterceptor, streamer grpc.Streamer) grpc.Streamer {
	if len(rest) == 0 {
		return streamer
	}
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return rest[0](ctx, desc, cc, method, streamerRest(rest[1:], streamer), opts...)
	}
}
