package host

import (
	"context"
	"fmt"
	"math/rand/v2"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// request is a call with one message, encoded.
type request struct {
	path  string
	codec string
	body  []byte
	opts  []grpc.CallOption
}

// reply is the answer to a request. There may be header and trailer with an
// error.
type reply struct {
	header  metadata.MD
	trailer metadata.MD
	body    mem.BufferSlice
}

// A provider is where a call can go: a link, or this host if link is nil.
type provider struct {
	host *Host
	link *Link
}

// invoke makes a call wherever its path is exported, and returns the body of the
// reply. The error is an *Error.
func (h *Host) invoke(ctx context.Context, q *request) (mem.BufferSlice, error) {
	r, err := h.tryInvoke(ctx, q)
	if err == nil {
		return r.body, nil
	}
	var trailer metadata.MD
	if r != nil {
		trailer = r.trailer
	}
	return nil, callError(q.path, err, trailer)
}

func (h *Host) tryInvoke(ctx context.Context, q *request) (*reply, error) {
	if err := checkOutgoing(ctx); err != nil {
		return nil, err
	}
	p, err := h.pick(q.path)
	if err != nil {
		return nil, err
	}
	return p.call(ctx, q)
}

// pick chooses a provider: this host if it exports the path, or else a random
// one of those that do.
func (h *Host) pick(path string) (provider, error) {
	if h.exports.lookup(path) != nil {
		return provider{host: h}, nil
	}
	service, method, _ := splitPath(path)
	if o := pickOffer(h.peers.find(service), method); o != nil {
		return provider{host: h, link: o.link}, nil
	}
	if err := h.usable(); err != nil {
		return provider{}, status.Errorf(codes.Unavailable, "host %q: %v", h.label, err)
	}
	return provider{}, status.Errorf(codes.Unavailable, "no host exports %s now; %s", pathName(path), h.peers.describe())
}

// pickOffer chooses among the offers that have a method.
func pickOffer(offers []*offer, method string) *offer {
	if len(offers) == 1 && offers[0].has(method) {
		return offers[0]
	}
	var chosen *offer
	n := 0
	for _, o := range offers {
		if !o.has(method) {
			continue
		}
		if n++; rand.IntN(n) == 0 { //nolint:gosec // spreads load, guards nothing
			chosen = o
		}
	}
	return chosen
}

// call makes the call at the provider. A reply with an error has the metadata
// that came with it, if the provider answered.
func (p provider) call(ctx context.Context, q *request) (*reply, error) {
	if p.link != nil && p.link.conn != nil {
		return p.link.callForward(ctx, q)
	}
	o, err := readOptions(q.opts)
	if err != nil {
		return nil, err
	}
	if err := o.checkRequest(len(q.body)); err != nil {
		return nil, err
	}
	var r *reply
	if p.link != nil {
		r, err = p.link.call(ctx, q)
		o.setPeer(p.link.peer)
	} else {
		r, err = p.host.callLocal(ctx, q)
	}
	if r != nil {
		o.setMetadata(r.header, r.trailer)
		if err == nil {
			err = o.checkReply(r.body.Len())
		}
	}
	o.finish(err)
	return r, err
}

// callForward makes a call over the connection that this end dialled.
func (l *Link) callForward(ctx context.Context, q *request) (*reply, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, codecKey, q.codec)
	r := new(reply)
	in := rawMessage{data: mem.BufferSlice{mem.SliceBuffer(q.body)}}
	var out rawMessage
	opts := make([]grpc.CallOption, 0, 4+len(q.opts))
	opts = append(opts, grpc.MaxCallRecvMsgSize(l.host.maxMessage))
	opts = append(opts, q.opts...)
	// The message is encoded already; an option can't choose another codec.
	opts = append(opts, grpc.ForceCodecV2(rawCodec(q.codec)), grpc.CallContentSubtype(q.codec), grpc.Trailer(&r.trailer))
	err := l.conn.Invoke(ctx, q.path, &in, &out, opts...)
	r.body = out.data
	return r, l.lost(ctx, err)
}

// lost gives a call that ended because its connection was closed the code of a
// lost one. gRPC says Canceled, which here would mean the caller.
func (l *Link) lost(ctx context.Context, err error) error {
	if status.Code(err) != codes.Canceled || ctx.Err() != nil || l.Err() == nil {
		return err
	}
	label, _ := l.label()
	return fmt.Errorf("host %q (%s): %w", label, l.target, status.Errorf(codes.Unavailable, "the link was lost: %v", l.Err()))
}
