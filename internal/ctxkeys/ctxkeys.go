// Package ctxkeys knows the keys under which gRPC looks in a context for what belongs to
// the call that is being served. With them a call's own context can answer, and make what most
// handlers never ask for only when they do.
package ctxkeys

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// The keys, found out by letting gRPC ask a context. One that gRPC doesn't ask for any more,
// in some later version, is None, and the value has to be put into the context in gRPC's own way.
var (
	// Incoming is the key of metadata.FromIncomingContext; the value is a metadata.MD.
	Incoming = keyOf(func(ctx context.Context) { _, _ = metadata.FromIncomingContext(ctx) })
	// Stream is the key of grpc.ServerTransportStreamFromContext.
	Stream = keyOf(func(ctx context.Context) { _ = grpc.ServerTransportStreamFromContext(ctx) })
	// Peer is the key of peer.FromContext; the value is a *peer.Peer.
	Peer = keyOf(func(ctx context.Context) { _, _ = peer.FromContext(ctx) })
)

// None is equal to no other key.
var None any = new(int)

// keyOf is the first key that ask asks a context for.
func keyOf(ask func(context.Context)) any {
	asked := &askedContext{Context: context.Background(), key: None}
	ask(asked)
	return asked.key
}

type askedContext struct {
	context.Context //nolint:containedctx // it is one

	key any
}

// Value implements [context.Context].
func (c *askedContext) Value(key any) any {
	if c.key == None {
		c.key = key
	}
	return nil
}
