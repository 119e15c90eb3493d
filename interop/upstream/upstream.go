package upstream

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// withClient is a case as grpc-go writes it.
type withClient func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)

// cases are the standard ones, by the names of the specification.
var cases = map[string]withClient{
	"empty_unary":                 interop.DoEmptyUnaryCall,
	"large_unary":                 interop.DoLargeUnaryCall,
	"client_streaming":            interop.DoClientStreaming,
	"server_streaming":            interop.DoServerStreaming,
	"ping_pong":                   interop.DoPingPong,
	"empty_stream":                interop.DoEmptyStream,
	"cancel_after_begin":          interop.DoCancelAfterBegin,
	"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
	"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
	"custom_metadata":             interop.DoCustomMetadata,
	"status_code_and_message":     interop.DoStatusCodeAndMessage,
	"special_status_message":      interop.DoSpecialStatusMessage,
}

// The two cases that take something else than the service's client.
const (
	unimplementedMethod  = "unimplemented_method"
	unimplementedService = "unimplemented_service"
)

// Cases returns the names of the cases, in order.
func Cases() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(cases)), unimplementedMethod, unimplementedService)))
}

// RunCase runs one case over a connection to a server that has the services of
// [Register]. A case that fails ends the process, with the reason on standard
// error. The error is for unknown names, and for unimplemented_method, which
// grpc-go can run only over a *grpc.ClientConn and which is asked for here in
// the same way over any connection.
func RunCase(ctx context.Context, name string, cc grpc.ClientConnInterface) error {
	switch name {
	case unimplementedMethod:
		return callUnimplemented(ctx, cc)
	case unimplementedService:
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
		return nil
	}
	run, ok := cases[name]
	if !ok {
		return fmt.Errorf("upstream: no case is named %q", name)
	}
	run(ctx, testgrpc.NewTestServiceClient(cc))
	return nil
}

func callUnimplemented(ctx context.Context, cc grpc.ClientConnInterface) error {
	if stock, ok := cc.(*grpc.ClientConn); ok {
		interop.DoUnimplementedMethod(ctx, stock)
		return nil
	}
	_, err := testgrpc.NewTestServiceClient(cc).UnimplementedCall(ctx, &testgrpc.Empty{})
	if status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("upstream: UnimplementedCall = %v, want code %v", err, codes.Unimplemented)
	}
	return nil
}

// Register registers the services that the cases call: grpc-go's own test
// server.
func Register(r grpc.ServiceRegistrar) {
	testgrpc.RegisterTestServiceServer(r, interop.NewTestServer())
}
