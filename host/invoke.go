package host

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host/internal/link"
	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// request is a call, with its message encoded.
type request struct {
	path   string
	codec  string
	body   []byte
	opts   []grpc.CallOption
	demand *demand // who may take it; nil for whoever exports the path
	oneWay bool
	// instance is the object whose method is called, or ""; to is where it, or
	// what else decides beforehand where the call goes, is.
	instance string
	to       *provider
	stream   *grpc.StreamDesc // of a call with many messages; see openStream
	cfg      *callConfig      // how the call is made; nil as the host says
	handed   bool             // it has been given to a wire, which may have sent it
	before   bool             // so had an earlier attempt of an idempotent call
	reply    *reply           // of the latest attempt of an invocation, if there was one
	at       *Link            // over which that went, nil for none
}

// failed makes the error that the caller gets.
func (q *request) failed(err error, trailer metadata.MD) *Error {
	e := handedError(q.path, err, trailer, q.handed)
	e.sent = e.sent || q.before
	return e
}

// reply is the answer to a request. There may be header and trailer with an
// error.
type reply struct {
	header  metadata.MD
	trailer metadata.MD
	body    raw.Message
}

// A provider is where a call can go: a link, or this host if link is nil.
type provider struct {
	host  *Host
	link  *Link
	offer *offer // nil with link
}

// invoke makes a call wherever its path is exported, and returns the body of the
// reply. The error is an *Error.
func (h *Host) invoke(ctx context.Context, q *request) (raw.Message, error) {
	body, _, err := h.invokeWithTrailer(ctx, q)
	return body, err
}

func (h *Host) invokeWithTrailer(ctx context.Context, q *request) (raw.Message, metadata.MD, error) {
	err := h.make(ctx, q, invokeAt)
	r := q.reply
	if err == nil {
		return r.body, r.trailer, nil
	}
	var trailer metadata.MD
	if r != nil {
		trailer = r.trailer
	}
	return raw.Message{}, trailer, q.failed(err, trailer)
}

// invokeAt is a try of invoke.
func invokeAt(ctx context.Context, q *request, p provider) error {
	r, err := p.call(ctx, q)
	q.reply, q.at = r, p.link
	if err != nil && r != nil && len(r.trailer.Get(link.RefusedKey)) > 0 {
		return &refusedError{err}
	}
	return err
}

// call makes the call at the provider. A reply with an error has the metadata
// that came with it, if the provider answered.
func (p provider) call(ctx context.Context, q *request) (*reply, error) {
	q.handed = false
	if p.link != nil {
		if err := p.backward("one-way calls"); q.oneWay && err != nil {
			return nil, status.Error(codes.Unimplemented, err.Error())
		}
		if rpc := p.link.grpc; rpc != nil {
			taken, err := p.link.asked.wait(ctx, len(q.body))
			if err != nil {
				return nil, err
			}
			q.handed = true
			return p.link.callRaw(ctx, rpc, q, taken)
		}
	}
	o, err := readOptions(q.opts)
	if err != nil {
		return nil, err
	}
	if err := o.checkRequest(len(q.body)); err != nil {
		return nil, err
	}
	q.handed = true
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

// rawCall is a call through gRPC, and its reply.
type rawCall struct {
	bothways.RawCall
	reply reply
	pairs [8]string // room for what the other end wants to know
}

// callRaw makes a call through gRPC. It calls taken, unless that is nil, when gRPC holds
// the request no longer.
func (l *Link) callRaw(ctx context.Context, rpc grpc.ClientConnInterface, q *request, taken func()) (*reply, error) {
	c := new(rawCall)
	c.Method, c.Subtype, c.Message = q.path, q.codec, inRoom(raw.Of(q.body), taken)
	c.MaxReceive, c.Options = l.host.maxMessage, q.opts
	c.Pairs = l.pairs(q, c.pairs[:0])
	err := c.Over(ctx, rpc)
	c.Message.Free()
	c.reply.body, c.reply.trailer = c.Reply, c.Trailer
	if err != nil && len(c.Trailer.Get(exceptionKey)) == 0 {
		err = l.lost(ctx, err, c.Sent)
	}
	return &c.reply, err
}

// outgoing adds to a call's metadata what the other end wants to know.
func (l *Link) outgoing(ctx context.Context, q *request) context.Context {
	pairs := l.pairs(q, nil)
	if len(pairs) == 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// pairs appends what the other end wants to know of a call.
func (l *Link) pairs(q *request, pairs []string) []string {
	if q.codec != "" {
		pairs = append(pairs, codecKey, q.codec)
	}
	if session := l.session(); session != "" {
		pairs = append(pairs, sessionKey, session)
	}
	if q.oneWay {
		pairs = append(pairs, oneWayKey, "1")
	}
	if q.instance != "" {
		pairs = append(pairs, instanceKey, q.instance)
	}
	return pairs
}

// rawOptions are the options of a call whose messages are encoded already: no
// option can choose another codec.
func (l *Link) rawOptions(q *request, ours ...grpc.CallOption) []grpc.CallOption {
	opts := make([]grpc.CallOption, 0, 3+len(q.opts)+len(ours))
	opts = append(opts, grpc.MaxCallRecvMsgSize(l.host.maxMessage))
	opts = append(opts, q.opts...)
	opts = append(opts, grpc.ForceCodecV2(raw.Codec(q.codec)), grpc.CallContentSubtype(q.codec))
	return append(opts, ours...)
}

// lost makes the error of a call through gRPC one that says which link was lost,
// and whether the call had been sent; if that is what it is. gRPC says Canceled of
// a connection that was closed on this side, which here would mean the caller.
func (l *Link) lost(ctx context.Context, err error, sent bool) error {
	switch code := status.Code(err); {
	case code == codes.Canceled && ctx.Err() == nil && l.Err() != nil:
		err = l.Err()
	case code != codes.Unavailable, l.plain && sent: // of a plain server it may be the answer
		return err
	}
	return l.explain(&link.LostError{Sent: sent, Err: err})
}
