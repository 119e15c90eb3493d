package otel_test

import (
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
)

// server is what the servers of all stacks have in common.
type server interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// conn is what their clients have in common.
type conn interface {
	grpc.ClientConnInterface
	Close() error
}

// stack makes servers and clients that tell a stats.Handler what happens.
type stack struct {
	name   string
	kind   string // of target
	server func(stats.Handler) server
	client func(target string, h stats.Handler) (conn, error)

	transport carpgrpc.Transport // that it must turn out to speak; empty for grpc-go
}

// reference is plain grpc-go over tcp, with nothing of ours but the listener.
func reference() stack {
	return stack{
		name:   "grpc-go over tcp",
		server: func(h stats.Handler) server { return grpc.NewServer(grpc.StatsHandler(h)) },
		client: func(target string, h stats.Handler) (conn, error) {
			return grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(h))
		},
	}
}

// ours is package carpgrpc over a kind of target. Opaque options leave it to speak HTTP/2
// where it otherwise would not.
func ours(name, kind string, transport carpgrpc.Transport, opaque bool) stack {
	return stack{
		name: name, kind: kind, transport: transport,
		server: func(h stats.Handler) server {
			opts := []carpgrpc.ServerOption{carpgrpc.Creds(insecure.NewCredentials()), carpgrpc.StatsHandler(h)}
			if opaque {
				opts = append(opts, carpgrpc.WithServerOptions(grpc.EmptyServerOption{}))
			}
			return carpgrpc.NewServer(opts...)
		},
		client: func(target string, h stats.Handler) (conn, error) {
			opts := []carpgrpc.ClientOption{
				carpgrpc.WithTransportCredentials(insecure.NewCredentials()),
				carpgrpc.WithStatsHandler(h),
			}
			if opaque {
				opts = append(opts, carpgrpc.WithDialOptions(grpc.EmptyDialOption{}))
			}
			return carpgrpc.NewClient(target, opts...)
		},
	}
}

// stacks are all that this system has.
func stacks() []stack {
	all := []stack{
		ours("HTTP2 over unix", "unix", carpgrpc.HTTP2, false),
		ours("HTTP2 over tcp", "tcp", carpgrpc.HTTP2, false),
	}
	if runtime.GOOS == "linux" {
		all = append(all,
			ours("direct", "shm", carpgrpc.Direct, false),
			ours("HTTP2 over shm", "shm", carpgrpc.HTTP2, true),
		)
	}
	return all
}

// listen listens at a fresh target of the stack's kind.
func (s stack) listen(t *testing.T) (lis net.Listener, target string) {
	t.Helper()
	if s.transport == "" {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return lis, "passthrough:///" + lis.Addr().String()
	}
	target = map[string]string{
		"tcp":  "tcp://127.0.0.1:0",
		"unix": "unix://" + filepath.Join(t.TempDir(), "s"),
		"shm":  "shm://" + filepath.Join(t.TempDir(), "s"),
	}[s.kind]
	lis, err := dialer.Listen(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return lis, dialer.TargetOf(lis.Addr())
}
