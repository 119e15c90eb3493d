package carpgrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/native"
)

func init() { //nolint:gochecknoinits // sets variables that are there for this
	bothways.Serve = func(srv any) any {
		s := srv.(*Server)
		return clientOption(func(c *clientConfig) {
			if !s.cfg.opaque() {
				c.serving = s
			}
		})
	}
	bothways.Single = func(single func(method string) bool) any {
		return serverOption(func(c *serverConfig) { c.single = single })
	}
	bothways.PerConn = func(with func(context.Context) context.Context) any {
		return serverOption(func(c *serverConfig) { c.perConn = with })
	}
	bothways.Caller = func(ctx context.Context) grpc.ClientConnInterface {
		if c := native.Caller(ctx); c != nil {
			return c
		}
		return nil
	}
	bothways.Transport = func(cc any) grpc.ClientConnInterface {
		c := cc.(*ClientConn)
		if t, ok := c.over.(*directTransport); ok {
			return t.client
		}
		return c
	}
}

// connTagger gives the contexts of grpc-go's connections what PerConn says. It takes no
// statistics.
type connTagger struct {
	with func(context.Context) context.Context
}

var _ stats.Handler = connTagger{}

// TagConn implements [stats.Handler].
func (t connTagger) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return t.with(ctx)
}

// HandleConn implements [stats.Handler].
func (connTagger) HandleConn(context.Context, stats.ConnStats) {}

// TagRPC implements [stats.Handler].
func (connTagger) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements [stats.Handler].
func (connTagger) HandleRPC(context.Context, stats.RPCStats) {}
