package carpgrpc_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// foreign is a call option of a third party, which interceptors may look for.
type foreign struct{ grpc.EmptyCallOption }

// A call option that only grpc-go can read is refused with what to do about it, which helps;
// those of third parties mean nothing to a transport.
func TestForeignCallOptions(t *testing.T) {
	leak.Check(t)
	lis, target := direct(t)
	serveHandlers(t, handlers{}, lis)
	var passed []grpc.CallOption
	_, c := directClient(t, target, carpgrpc.WithUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			passed = opts
			return next(ctx, method, req, reply, cc, opts...)
		}))
	if err := unary(t.Context(), c, 10, foreign{}); err != nil {
		t.Error(err)
	}
	if !slices.Contains(passed, grpc.CallOption(foreign{})) {
		t.Errorf("the interceptor was given %v, want the option", passed)
	}
	compressors := experimental.AcceptCompressors("gzip")
	err := unary(t.Context(), c, 10, compressors)
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "carpgrpc.WithDialOptions(grpc.EmptyDialOption{})") {
		t.Errorf("an option that can't be read: %v", err)
	}
	if _, err := c.FullDuplexCall(t.Context(), compressors); status.Code(err) != codes.Unimplemented {
		t.Errorf("the same for a stream: %v", err)
	}
	http := pb.NewTestServiceClient(newClient(t, target, carpgrpc.WithDialOptions(grpc.EmptyDialOption{})))
	if err := unary(t.Context(), http, 10, compressors); err != nil {
		t.Errorf("with the advice taken: %v", err)
	}
}
