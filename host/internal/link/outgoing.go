package link

import (
	"context"
	"io"
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
	Payload  []byte // not changed until the call has ended; empty if Streaming
	Metadata metadata.MD
	Instance string // the object whose method is called
	// Streaming tells that the request messages are sent one by one,
	// TakesItems that the response messages are received so.
	Streaming  bool
	TakesItems bool
	OneWay     bool // answered when the callee has taken the call
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

// An Outgoing is a call to the peer. Its messages are sent by one goroutine at a
// time, and received by one.
type Outgoing struct {
	flow
	link    *Link
	ctx     context.Context
	unwatch func() bool

	sent      bool // the writer has taken it
	replied   bool // the Reply has come, but maybe not all of its payload
	abandoned bool // the peer has been told that nobody waits
	halfDone  bool // End has been sent

	headed chan struct{} // closed when header is there, or the call is over
	header metadata.MD
	over   chan struct{} // closed when there is a response or an error
	resp   *Response
	err    error
}

// end tells the caller what has become of the call. Only the first end has an
// effect. It is called with mu held.
func (c *Outgoing) end(r *Response, err error) {
	select {
	case <-c.over:
		return
	default:
	}
	c.resp, c.err = r, err
	if r != nil && c.header == nil {
		c.header = r.Header
	}
	c.setHeaded()
	if err == nil {
		err = io.EOF
	}
	c.inbox.close(err)
	c.link.unhold(&c.inbox)
	close(c.over)
	if c.unwatch != nil {
		c.unwatch()
	}
}

func (c *Outgoing) setHeaded() {
	select {
	case <-c.headed:
	default:
		close(c.headed)
	}
}

// Call calls the peer and waits for its answer. The error is the context's, a
// [LostError], or a status for a request that the peer would not take; what the
// peer answers is in the Response, errors too.
func (l *Link) Call(ctx context.Context, req *Request) (*Response, error) {
	c, err := l.open(ctx, req)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.over:
	case <-ctx.Done():
		l.abandon(c, ctx.Err())
		<-c.over
	}
	return c.resp, c.err
}

// Open opens a call whose messages are sent or received one by one. The call
// ends with ctx. The error is as that of Call.
func (l *Link) Open(ctx context.Context, req *Request) (*Outgoing, error) {
	c, err := l.open(ctx, req)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { l.abandon(c, ctx.Err()) })
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-c.over:
		stop()
	default:
		c.unwatch = stop
	}
	return c, nil
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

// open queues the call, when the peer's limits allow it.
func (l *Link) open(ctx context.Context, req *Request) (*Outgoing, error) {
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	c, err := l.enqueue(ctx, req)
	if err != nil {
		<-l.slots
	}
	return c, err
}

func (l *Link) enqueue(ctx context.Context, req *Request) (*Outgoing, error) {
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
	c := &Outgoing{link: l, ctx: ctx, headed: make(chan struct{}), over: make(chan struct{})}
	c.flow = flow{id: l.nextID, sendWindow: l.peerLimits.CallWindow, recvWindow: l.cfg.Limits.CallWindow}
	if req.TakesItems {
		c.inbox = newInbox()
	}
	l.nextID += 2
	l.calls[c.id] = c
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_Call{Call: call}}, func() { c.sent = true })
	if call.PayloadSize > 0 {
		l.queuePayload(&c.flow, req.Payload, false, func() {})
	}
	return c, nil
}

// callFrame writes the frame of a call, if the peer would take it.
func (l *Link) callFrame(ctx context.Context, req *Request) (*carpv1.Call, error) {
	if n := int64(len(req.Payload)); n > l.peerLimits.MaxPayload {
		return nil, tooLarge("request", n, l.peerLimits.MaxPayload).Err()
	}
	if n := metadataSize(req.Metadata); n > l.peerLimits.MaxMetadata {
		return nil, tooMuchMetadata("request", n, l.peerLimits.MaxMetadata)
	}
	if (req.Streaming || req.TakesItems) && !l.PeerHas(Streams) {
		return nil, status.Errorf(codes.Unimplemented,
			"%s is a stream, and the peer (%s) has no streams on its links", req.Method, l.Peer().GetAgent())
	}
	call := &carpv1.Call{
		Method: req.Method, Codec: req.Codec, Metadata: appendMetadata(nil, req.Metadata, false),
		Streaming: req.Streaming, TakesItems: req.TakesItems, OneWay: req.OneWay, Instance: req.Instance,
	}
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

// abandon ends a call whose caller has gone, for err. It counts as in flight
// until the peer has answered.
func (l *Link) abandon(c *Outgoing, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.end(nil, err)
	if l.calls[c.id] != c || c.abandoned {
		return // answered or lost meanwhile
	}
	c.abandoned = true
	l.dropPayload(&c.flow)
	l.dropInbox(&c.flow, err)
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_Cancel{Cancel: &carpv1.Cancel{}}}, nil)
}

// Send sends a request message and returns when it is on its way. Data belongs
// to the link from then on. The error is io.EOF if the call is over, for reasons
// that Recv tells, or a status if the peer would not take the message.
func (c *Outgoing) Send(data []byte) error {
	if c.halfDone {
		return status.Error(codes.Internal, "Send after CloseSend")
	}
	return c.link.sendItem(&c.flow, data, c.over, func() error { return io.EOF })
}

// CloseSend says that no more request messages follow.
func (c *Outgoing) CloseSend() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[c.id] != c || c.abandoned || c.halfDone {
		return
	}
	c.halfDone = true
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_End{End: &carpv1.End{}}}, nil)
}

// Recv returns the next response message of a call that takes items. The error
// is io.EOF when the peer has ended the call: see Response; otherwise it is as
// that of Call.
func (c *Outgoing) Recv() (Message, error) {
	for {
		m, ok, err := c.link.take(&c.flow)
		if ok || err != nil {
			return m, err
		}
		<-c.inbox.ready
	}
}

// Header waits for the header metadata. The error is as that of Call.
func (c *Outgoing) Header() (metadata.MD, error) {
	<-c.headed
	select {
	case <-c.over:
		return c.header, c.err
	default:
		return c.header, nil
	}
}

// Response waits for the end of the call. The error is as that of Call.
func (c *Outgoing) Response() (*Response, error) {
	<-c.over
	return c.resp, c.err
}

// Cancel ends a call that nobody wants any more.
func (c *Outgoing) Cancel() { c.link.abandon(c, context.Canceled) }

// receiveHeader is called with mu held.
func (l *Link) receiveHeader(id uint64, h *carpv1.Header) error {
	c := l.calls[id]
	if c == nil {
		return nil
	}
	select {
	case <-c.headed:
		if c.abandoned {
			return nil
		}
		return violation("two headers of call %d", id)
	default:
	}
	_, md, ok := splitMetadata(h.GetMetadata(), l.cfg.Limits.MaxMetadata)
	if !ok {
		return violation("a header of more than %d bytes", l.cfg.Limits.MaxMetadata)
	}
	c.header = md
	c.setHeaded()
	return nil
}

// receiveReply takes the peer's answer. It is called with mu held.
func (l *Link) receiveReply(id uint64, r *carpv1.Reply) error {
	c := l.calls[id]
	if c == nil {
		return nil // the peer's Goaway has ended the call already
	}
	if c.replied {
		return violation("two replies to call %d", id)
	}
	size := r.GetPayloadSize()
	if err := checkInline(len(r.GetPayload()), size); err != nil {
		return err
	}
	c.replied = true
	// The rest of a request that has been answered is of no use, and the rest
	// of an item will not come.
	l.dropPayload(&c.flow)
	l.giveUp(c.arriving)
	c.arriving = nil
	resp := l.response(r)
	switch {
	case size == 0:
		l.finish(c, resp, nil)
	case int64(size) > l.cfg.Limits.MaxPayload || c.abandoned:
		resp = &Response{Status: status.Newf(codes.ResourceExhausted,
			"the reply has %d bytes, this end takes at most %d", size, l.cfg.Limits.MaxPayload)}
		l.arrive(&c.flow, int64(size), func(*arrival) { l.finish(c, resp, nil) })
		l.giveUp(c.arriving)
	default:
		l.expect(&c.flow, int64(size), func(a *arrival) {
			l.pool.free += a.held()
			l.admit()
			resp.Payload = a.data
			l.finish(c, resp, nil)
		})
	}
	return nil
}

// finish ends a call for good. It is called with mu held.
func (l *Link) finish(c *Outgoing, r *Response, err error) {
	delete(l.calls, c.id)
	c.end(r, err)
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
