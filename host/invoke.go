package host

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// request is a call with one message, encoded.
type request struct {
	path   string
	codec  string
	body   []byte
	opts   []grpc.CallOption
	demand *demand // who may take it, until that is decided
	oneWay bool
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
	host  *Host
	link  *Link
	offer *offer // nil without link
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
	p, err := h.pickFor(q.demand, nil)
	if err != nil {
		return nil, err
	}
	return p.call(ctx, q)
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
	if q.oneWay {
		ctx = metadata.AppendToOutgoingContext(ctx, oneWayKey, "1")
	}
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
