package carpgrpc_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
)

// authorize is what an application guards its services with.
func authorize(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("token"); len(v) != 1 || v[0] != "good" {
		return status.Error(codes.Unauthenticated, "no good token")
	}
	return nil
}

func guardUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := authorize(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func guardStream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := authorize(s.Context()); err != nil {
		return err
	}
	return next(srv, s)
}

// Whatever door an interceptor that guards comes in by, no call passes it on any
// transport.
func TestServerDoors(t *testing.T) {
	doors := map[string][]carpgrpc.ServerOption{
		"own options": {carpgrpc.UnaryInterceptor(guardUnary), carpgrpc.StreamInterceptor(guardStream)},
		"own chains":  {carpgrpc.ChainUnaryInterceptor(guardUnary), carpgrpc.ChainStreamInterceptor(guardStream)},
		"grpc-go's options": {
			carpgrpc.WithServerOptions(grpc.UnaryInterceptor(guardUnary), grpc.StreamInterceptor(guardStream)),
		},
		"grpc-go's chains": {
			carpgrpc.WithServerOptions(grpc.ChainUnaryInterceptor(guardUnary)),
			carpgrpc.WithServerOptions(grpc.ChainStreamInterceptor(guardStream)),
		},
		"grpc-go's tap": {
			carpgrpc.WithServerOptions(grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
				return ctx, authorize(ctx)
			})),
		},
	}
	for door, opts := range doors {
		t.Run(door, func(t *testing.T) {
			forEachTarget(t, func(t *testing.T, lis net.Listener) {
				t.Helper()
				echo := carpgrpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return s.SendMsg(&pb.Empty{}) })
				serve(t, service{}, lis, append(opts, echo)...)
				cc := newClient(t, dialer.TargetOf(lis.Addr()))
				c := pb.NewTestServiceClient(cc)
				good := metadata.AppendToOutgoingContext(t.Context(), "token", "good")
				for call, do := range map[string]func(context.Context) error{
					"unary":   func(ctx context.Context) error { return unary(ctx, c, 64) },
					"stream":  func(ctx context.Context) error { return stream(ctx, c) },
					"unknown": func(ctx context.Context) error { return unknown(ctx, cc) },
				} {
					if err := do(t.Context()); status.Code(err) != codes.Unauthenticated {
						t.Errorf("%s call without a token: %v", call, err)
					}
					if err := do(good); err != nil {
						t.Errorf("%s call with a token: %v", call, err)
					}
				}
			})
		})
	}
}

func addToken(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "token", "good")
}

func tokenUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return next(addToken(ctx), method, req, reply, cc, opts...)
}

func tokenStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return next(addToken(ctx), desc, cc, method, opts...)
}

// The same for clients: every call has the token, by whatever door it comes in.
func TestClientDoors(t *testing.T) {
	doors := map[string][]carpgrpc.ClientOption{
		"own options": {carpgrpc.WithUnaryInterceptor(tokenUnary), carpgrpc.WithStreamInterceptor(tokenStream)},
		"own chains":  {carpgrpc.WithChainUnaryInterceptor(tokenUnary), carpgrpc.WithChainStreamInterceptor(tokenStream)},
		"grpc-go's options": {
			carpgrpc.WithDialOptions(grpc.WithUnaryInterceptor(tokenUnary), grpc.WithStreamInterceptor(tokenStream)),
		},
		"grpc-go's chains": {
			carpgrpc.WithDialOptions(grpc.WithChainUnaryInterceptor(tokenUnary)),
			carpgrpc.WithDialOptions(grpc.WithChainStreamInterceptor(tokenStream)),
		},
		"call credentials": {carpgrpc.WithPerRPCCredentials(token{})},
	}
	for door, opts := range doors {
		t.Run(door, func(t *testing.T) {
			forEachTarget(t, func(t *testing.T, lis net.Listener) {
				t.Helper()
				serve(t, service{}, lis, carpgrpc.UnaryInterceptor(guardUnary), carpgrpc.StreamInterceptor(guardStream))
				c := clientOf(t, lis, opts...)
				if err := unary(t.Context(), c, 64); err != nil {
					t.Errorf("unary: %v", err)
				}
				if err := stream(t.Context(), c); err != nil {
					t.Errorf("stream: %v", err)
				}
			})
		})
	}
}

// token is call credentials, as secure as their field says.
type token struct{ secure bool }

func (token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"token": "good"}, nil
}

func (c token) RequireTransportSecurity() bool { return c.secure }

func TestPerRPCCredentialsTrustLocalConns(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		if lis.Addr().Network() == "tcp" {
			return
		}
		serve(t, service{}, lis, carpgrpc.UnaryInterceptor(guardUnary))
		if err := unary(t.Context(), clientOf(t, lis, carpgrpc.WithPerRPCCredentials(token{secure: true})), 64); err != nil {
			t.Error(err)
		}
	})
}

// Transport credentials among grpc-go's options are those of every connection.
func TestOpaqueCredentialsReplaceOurs(t *testing.T) {
	forEachTarget(t, func(t *testing.T, lis net.Listener) {
		t.Helper()
		var refusing refusingCredentials
		serve(t, service{}, lis, carpgrpc.WithServerOptions(grpc.Creds(&refusing)))
		wantCode(t, unary(t.Context(), clientOf(t, lis), 64), codes.Unavailable)
		if !refusing.asked.Load() {
			t.Error("the credentials were not asked")
		}
	})
}
