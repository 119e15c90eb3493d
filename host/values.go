package host

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/carp-rpc/carp-go/internal/ctxkeys"
)

// callValues is the context of an incoming call: it answers what gRPC's functions ask
// for from the call itself, and leaves everything else, deadline and cancellation too,
// to the wire's context. It is part of the call's memory.
type callValues struct {
	context.Context //nolint:containedctx // the wire's

	call *call
	peer *peer.Peer // nil for that of the wire's context

	// md is the caller's metadata. With strip it is made, when somebody asks for it, of
	// what the wire's context has, without what is not the user's.
	md    metadata.MD
	strip bool
	once  sync.Once
}

// metadata is what the caller sent.
func (v *callValues) metadata() metadata.MD {
	if v.strip {
		v.once.Do(func() {
			v.md, _ = metadata.FromIncomingContext(v.Context)
			takeReserved(v.md)
		})
	}
	return v.md
}

// Value implements [context.Context].
func (v *callValues) Value(key any) any {
	switch key {
	case ctxkeys.Incoming:
		return v.metadata()
	case ctxkeys.Stream:
		return v.call
	case ctxkeys.Peer:
		if v.peer != nil {
			return v.peer
		}
	}
	return v.Context.Value(key)
}

// AfterFunc spares contexts that are derived from this one a goroutine each: the
// context package calls it.
func (v *callValues) AfterFunc(f func()) func() bool { return context.AfterFunc(v.Context, f) }

// context is v, with what a later gRPC might ask for by other keys.
func (v *callValues) context() context.Context {
	var ctx context.Context = v
	if ctxkeys.Incoming == ctxkeys.None {
		ctx = metadata.NewIncomingContext(ctx, v.metadata())
	}
	if ctxkeys.Stream == ctxkeys.None {
		ctx = grpc.NewContextWithServerTransportStream(ctx, v.call)
	}
	if ctxkeys.Peer == ctxkeys.None && v.peer != nil {
		ctx = peer.NewContext(ctx, v.peer)
	}
	return ctx
}
