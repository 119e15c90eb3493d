package bothways

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// RawCall is a unary call whose messages are encoded. Over the direct transport it needs
// neither call options nor metadata to be put together first.
type RawCall struct {
	Method  string
	Subtype string   // the content-subtype
	Pairs   []string // metadata beside the context's: names and values in turn
	Message raw.Message
	// MaxReceive is how many bytes the reply may have, unless Options say something else.
	MaxReceive int
	// Options are the caller's. One that chooses a codec has no effect.
	Options []grpc.CallOption

	// Reply is the answer, if there is one.
	Reply   raw.Message
	Trailer metadata.MD
	// Sent tells that the call has got as far as a connection.
	Sent bool
}

// A RawInvoker makes raw calls in a way of its own.
type RawInvoker interface {
	InvokeRaw(ctx context.Context, c *RawCall) error
}

// Over makes the call.
func (c *RawCall) Over(ctx context.Context, cc grpc.ClientConnInterface) error {
	if r, ok := cc.(RawInvoker); ok {
		return r.InvokeRaw(ctx, c)
	}
	return c.Invoke(ctx, cc)
}

// Invoke makes the call in gRPC's way.
func (c *RawCall) Invoke(ctx context.Context, cc grpc.ClientConnInterface) error {
	if len(c.Pairs) > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, c.Pairs...)
	}
	var at peer.Peer
	opts := make([]grpc.CallOption, 0, 5+len(c.Options))
	opts = append(opts, grpc.MaxCallRecvMsgSize(c.MaxReceive))
	opts = append(opts, c.Options...)
	opts = append(opts, grpc.ForceCodecV2(raw.Codec(c.Subtype)), grpc.CallContentSubtype(c.Subtype),
		grpc.Trailer(&c.Trailer), grpc.Peer(&at))
	err := cc.Invoke(ctx, c.Method, &c.Message, &c.Reply, opts...)
	c.Sent = at.Addr != nil
	return err
}

// RawIncoming is a [grpc.ServerStream] of the direct transport.
type RawIncoming interface {
	// Pairs is the metadata that the call came with, content-type included, without a map being
	// made of it.
	Pairs() direct.Pairs
}
