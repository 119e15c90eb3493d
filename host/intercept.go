package host

import (
	"context"
	"strings"
)

// CallInfo describes a call that a host serves.
type CallInfo struct {
	// Path is what is called, as gRPC has it: "/Calculator/Add".
	Path string
	// Codec is how the messages are encoded: "msgpack".
	Codec string
	// OneWay tells that the caller wants no answer.
	OneWay bool
	// Caller is who calls.
	Caller CallerInfo
}

// Name is what is called, as [Require] has it: "Calculator.Add", or "f".
func (i *CallInfo) Name() string { return pathName(i.Path) }

// An Interceptor is run around each call that a host serves, on every wire: calls
// over links in both directions, calls of other gRPC clients, calls of the host
// to itself; one-way, with streams, to functions and to generated services, to
// health and reflection. It calls next once, with ctx or one made of it, or
// answers with an error of its own. What next returns is what the call ends with;
// of a one-way call, that it was taken. [Caller], metadata.FromIncomingContext,
// grpc.SetHeader and grpc.SetTrailer work with ctx.
type Interceptor func(ctx context.Context, info *CallInfo, next func(context.Context) error) error

// WithInterceptor adds interceptors to a host. The first one is the outermost. They
// are run after the authorizer, see [WithAuthorizer].
func WithInterceptor(i ...Interceptor) Option {
	return hostOption(func(c *config) { c.interceptors = append(c.interceptors, i...) })
}

// intercepted serves a call within the interceptors.
func (h *Host) intercepted(c *call, e endpoint) error {
	if len(h.interceptors) == 0 || strings.HasPrefix(c.path, peerPrefix) {
		return e.serve(c)
	}
	info := c.info()
	var run func(n int) func(context.Context) error
	run = func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			c.ctx = ctx
			if n == len(h.interceptors) {
				return e.serve(c)
			}
			return h.interceptors[n](ctx, &info, run(n+1))
		}
	}
	return run(0)(c.ctx)
}

// peerPrefix begins the paths by which links are made: they are no calls.
const peerPrefix = "/carp.v1.Peer/"

func (c *call) info() CallInfo {
	return CallInfo{Path: c.path, Codec: c.codec, OneWay: c.oneWay, Caller: c.caller(c.ctx)}
}
