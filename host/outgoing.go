package host

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// OutgoingInfo describes a call that a host makes.
type OutgoingInfo struct {
	// Path is what is called, as gRPC has it: "/Calculator/Add". That of a function
	// that was passed as an argument is "/carp.v1.Callback/call".
	Path string
	// Codec is how the messages are encoded: "msgpack". It is what the host has
	// chosen; the call's options may name another.
	Codec string
	// OneWay tells that no answer is wanted, Stream that there are many messages in
	// one direction at least.
	OneWay, Stream bool
}

// Name is what is called, as [Require] has it: "Calculator.Add", or "f".
func (i *OutgoingInfo) Name() string { return pathName(i.Path) }

// An OutgoingInterceptor is run around each call that a host makes: through required
// functions, by name, of methods of objects, one-way, with streams, of generated
// services, to others and to itself. It calls next once, with ctx or one made of it,
// to which it may add metadata; or it returns an error, and then the call is not made.
// What next returns is what the call has ended with, after it was perhaps tried at
// several hosts; of a call with streams, whether it could be opened: the context must
// then go on after the interceptor has returned.
type OutgoingInterceptor func(ctx context.Context, info *OutgoingInfo, next func(context.Context) error) error

// WithOutgoingInterceptor adds interceptors to the calls that a host makes. The first
// one is the outermost.
func WithOutgoingInterceptor(i ...OutgoingInterceptor) Option {
	return hostOption(func(c *config) { c.outgoing = append(c.outgoing, i...) })
}

var errNotCalled = status.Error(codes.Internal, "an interceptor of outgoing calls has returned nil without having made the call")

// intercept makes a call within the interceptors of outgoing calls. A call that has
// failed doesn't succeed by an interceptor's word.
func (h *Host) intercept(ctx context.Context, q *request, do func(context.Context) error) error {
	info := OutgoingInfo{Path: q.path, Codec: q.codec, OneWay: q.oneWay, Stream: q.stream != nil}
	result := errNotCalled
	var run func(n int) func(context.Context) error
	run = func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			if n == len(h.outgoing) {
				result = do(ctx)
				return result
			}
			return h.outgoing[n](ctx, &info, run(n+1))
		}
	}
	if err := run(0)(ctx); err != nil {
		return err
	}
	return result
}
