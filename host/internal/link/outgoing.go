package link

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// A Request is a call to the peer.
type Request struct {
	Method   string // the path
	Codec    string
	Payload  []byte // not changed until the call has ended
	Metadata metadata.MD
	OneWay   bool
}

// A Response is the peer's answer.
type Response struct {
	// Status is what the call ended with; OK for a result.
	Status    *status.Status
	Exception string
	Header    metadata.MD
	Trailer   metadata.MD
	Payload   []byte
}

// outgoing is a call to the peer that has not ended.
type outgoing struct {
	flow
	sent  bool           // the writer has taken it
	reply chan *Response // holds one
	lost  chan error     // holds one
}

func (c *outgoing) lose(err error) {
	c.lost <- &LostError{Sent: c.sent, Err: err}
}

// Call calls the peer and waits for its answer. The error is the context's, a
// [LostError], or a status for a request that the peer would not take; what the
// peer answers is in the Response, errors too.
func (l *Link) Call(ctx context.Context, req *Request) (*Response, error) {
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	c, err := l.open(ctx, req)
	if err != nil {
		<-l.slots
		return nil, err
	}
	select {
	case r := <-c.reply:
		return r, nil
	case err := <-c.lost:
		return nil, err
	case <-ctx.Done():
		l.abandon(c)
		return nil, ctx.Err()
	}
}

// acquire waits until the peer's limit allows one more call.
func (l *Link) acquire(ctx context.Context) error {
	select {
	case <-l.ready:
	case <-l.done:
		return &LostError{Err: l.Err()}
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-l.done:
		return &LostError{Err: l.Err()}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open queues the call.
func (l *Link) open(ctx context.Context, req *Request) (*outgoing, error) {
	call, err := l.callFrame(ctx, req)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, &LostError{Err: l.err}
	}
	if l.left != nil {
		return nil, &LostError{Err: l.left}
	}
	c := &outgoing{reply: make(chan *Response, 1), lost: make(chan error, 1)}
	c.flow = flow{id: l.nextID, sendWindow: l.peerLimits.CallWindow, recvWindow: l.cfg.Limits.CallWindow}
	l.nextID += 2
	l.calls[c.id] = c
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_Call{Call: call}}, c)
	if call.PayloadSize > 0 {
		l.queuePayload(&c.flow, req.Payload, func() {})
	}
	return c, nil
}

// callFrame writes the frame of a call, if the peer would take it.
func (l *Link) callFrame(ctx context.Context, req *Request) (*carpv1.Call, error) {
	if n := int64(len(req.Payload)); n > l.peerLimits.MaxPayload {
		return nil, status.Errorf(codes.ResourceExhausted,
			"the request has %d bytes, the peer takes at most %d", n, l.peerLimits.MaxPayload)
	}
	if n := metadataSize(req.Metadata); n > l.peerLimits.MaxMetadata {
		return nil, status.Errorf(codes.ResourceExhausted,
			"the metadata of the request counts %d bytes, the peer takes at most %d", n, l.peerLimits.MaxMetadata)
	}
	call := &carpv1.Call{Method: req.Method, Codec: req.Codec, Metadata: appendMetadata(nil, req.Metadata, false), OneWay: req.OneWay}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, context.DeadlineExceeded
		}
		call.TimeoutNs = uint64(left)
	}
	if len(req.Payload) > MaxInline {
		call.PayloadSize = uint64(len(req.Payload))
	} else {
		call.Payload = req.Payload
	}
	return call, nil
}

// abandon cancels a call whose caller has gone. It counts as in flight until the
// peer has answered.
func (l *Link) abandon(c *outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.id] != c {
		return // answered or lost meanwhile
	}
	l.dropPayload(&c.flow)
	l.giveUp(c.arriving)
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_Cancel{Cancel: &carpv1.Cancel{}}}, nil)
}

// receiveReply takes the peer's answer. It is called with mu held.
func (l *Link) receiveReply(id uint64, r *carpv1.Reply) error {
	c := l.calls[id]
	if c == nil {
		return nil // the peer's Goaway has ended the call already
	}
	if c.arriving != nil {
		return violation("two replies to call %d", id)
	}
	if len(r.GetPayload()) > MaxInline {
		return violation("a payload of %d bytes in one frame", len(r.GetPayload()))
	}
	// The rest of a request that has been answered is of no use.
	l.dropPayload(&c.flow)
	resp := l.response(r)
	size := r.GetPayloadSize()
	switch {
	case size == 0:
		l.finish(c, resp)
	case size > maxWindow:
		return violation("a payload of %d bytes", size)
	case int64(size) > l.cfg.Limits.MaxPayload:
		resp = &Response{Status: status.Newf(codes.ResourceExhausted,
			"the reply has %d bytes, this end takes at most %d", size, l.cfg.Limits.MaxPayload)}
		l.expect(&c.flow, int64(size), func([]byte) { l.finish(c, resp) })
		l.giveUp(c.arriving)
	default:
		var a *arrival
		l.expect(&c.flow, int64(size), func(data []byte) {
			if !a.discard { // otherwise giveUp has given the room back
				l.pool.free += int64(size)
				l.admit()
			}
			resp.Payload = data
			l.finish(c, resp)
		})
		a = c.arriving
	}
	return nil
}

// finish ends a call. It is called with mu held.
func (l *Link) finish(c *outgoing, r *Response) {
	delete(l.calls, c.id)
	c.reply <- r
	<-l.slots
}

func (l *Link) response(r *carpv1.Reply) *Response {
	header, trailer, ok := splitMetadata(r.GetMetadata(), l.cfg.Limits.MaxMetadata)
	if !ok {
		return &Response{Status: status.Newf(codes.ResourceExhausted,
			"the metadata of the reply counts more than the %d bytes that this end takes", l.cfg.Limits.MaxMetadata)}
	}
	return &Response{
		Status:    replyStatus(r),
		Exception: r.GetException(),
		Header:    header,
		Trailer:   trailer,
		Payload:   r.GetPayload(),
	}
}

// replyStatus is the status of a reply. An error without details costs no
// copies.
func replyStatus(r *carpv1.Reply) *status.Status {
	if r.GetCode() == uint32(codes.OK) {
		return nil
	}
	st := status.New(codes.Code(r.GetCode()), r.GetMessage())
	if len(r.GetDetails()) > 0 {
		p := st.Proto()
		p.Details = append([]*anypb.Any(nil), r.GetDetails()...)
		st = status.FromProto(p)
	}
	return st
}
