package carpgrpc_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
)

// contentTypes is a stats handler that gives those of the calls that come in.
type contentTypes chan string

func (contentTypes) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (contentTypes) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (contentTypes) HandleConn(context.Context, stats.ConnStats)                       {}

func (c contentTypes) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InHeader); ok {
		c <- strings.Join(in.Header["content-type"], ", ")
	}
}

// Generated stubs speak the module's other codecs on every transport, there and back, unary
// and on streams.
func TestCodecs(t *testing.T) {
	message := &pb.Payload{Type: pb.PayloadType_COMPRESSABLE, Body: []byte{0, 'x', 0xff, 200}}
	for _, name := range []string{json.Name, msgpack.Name} {
		t.Run(name, func(t *testing.T) {
			forEachTarget(t, func(t *testing.T, lis net.Listener) {
				t.Helper()
				subtypes := make(contentTypes, 2)
				serve(t, service{}, lis, carpgrpc.StatsHandler(subtypes))
				c := clientOf(t, lis)
				r, err := c.UnaryCall(t.Context(), &request{Payload: message}, grpc.CallContentSubtype(name))
				if err != nil || !proto.Equal(r.GetPayload(), message) {
					t.Errorf("unary: %v, %v, want %v", r, err, message)
				}
				s, err := c.FullDuplexCall(t.Context(), grpc.CallContentSubtype(name))
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := s.Send(&pb.StreamingOutputCallRequest{Payload: message}); err != nil {
						t.Fatal(err)
					}
					if m, err := s.Recv(); err != nil || !proto.Equal(m.GetPayload(), message) {
						t.Errorf("stream: %v, %v, want %v", m, err, message)
					}
				}
				for range 2 {
					if got, want := next(t, (chan string)(subtypes), "a call"), "application/grpc+"+name; got != want {
						t.Errorf("the handler was called in %q, want %q", got, want)
					}
				}
			})
		})
	}
}
