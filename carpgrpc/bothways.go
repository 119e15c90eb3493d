package carpgrpc

import (
	"context"

	"google.golang.org/grpc"

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
	bothways.Caller = func(ctx context.Context) grpc.ClientConnInterface {
		if c := native.Caller(ctx); c != nil {
			return c
		}
		return nil
	}
}
