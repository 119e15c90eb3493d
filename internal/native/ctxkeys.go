package native

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// The keys under which gRPC looks for what belongs to a call. Knowing them, a call's own
// context can answer, and make what most handlers never ask for only when they do. A
// key that gRPC doesn't ask for any more, in some later version, is noKey, and the value is then
// put into the context in gRPC's own way.
var (
	incomingKey = keyOf(func(ctx context.Context) { _, _ = metadata.FromIncomingContext(ctx) })
	streamKey   = keyOf(func(ctx context.Context) { _ = grpc.ServerTransportStreamFromContext(ctx) })
)

// noKey is equal to no other key.
var noKey any = new(int)

// keyOf is the first key that ask asks a context for.
func keyOf(ask func(context.Context)) any {
	asked := &askedContext{Context: context.Background(), key: noKey}
	ask(asked)
	return asked.key
}

type askedContext struct {
	context.Context //nolint:containedctx // it is one

	key any
}

// Value implements [context.Context].
func (c *askedContext) Value(key any) any {
	if c.key == noKey {
		c.key = key
	}
	return nil
}
