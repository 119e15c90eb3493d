package link

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// An Incoming is a call from the peer. Its messages are received by one
// goroutine at a time, and sent by one.
type Incoming struct {
	flow
	link     *Link
	head     *carpv1.Call
	metadata metadata.MD
	request  Message // of a call that is not streaming
	taken    bool    // request has been
	running  bool    // Serve has been called
	ctx      context.Context
	cancel   context.CancelFunc
	answered bool
	headed   bool // a header has been sent
}

// Context is the call's context. It ends with the caller's interest, its
// deadline, the link, or the call.
func (c *Incoming) Context() context.Context { return c.ctx }

// Method is the path that is called.
func (c *Incoming) Method() string { return c.head.GetMethod() }

// Codec is the codec of the messages, as the peer named it.
func (c *Incoming) Codec() string { return c.head.GetCodec() }

// OneWay tells that the caller waits only until the call is admitted.
func (c *Incoming) OneWay() bool { return c.head.GetOneWay() }

// Instance is the id of the object whose method is called, or "".
func (c *Incoming) Instance() string { return c.head.GetInstance() }

// Metadata is the caller's metadata. It belongs to the callee.
func (c *Incoming) Metadata() metadata.MD { return c.metadata }

// TakesItems reports whether the caller takes the response as items: with Send,
// any number of them. Otherwise there is one, in the Result.
func (c *Incoming) TakesItems() bool { return c.head.GetTakesItems() }

// Streaming reports whether the caller sends its request as items.
func (c *Incoming) Streaming() bool { return c.head.GetStreaming() }

// Recv returns the next request message, or io.EOF after the last.
func (c *Incoming) Recv() (Message, error) {
	if !c.head.GetStreaming() {
		if c.taken {
			return Message{}, io.EOF
		}
		c.taken = true
		return c.request, nil
	}
	for {
		m, ok, err := c.link.take(&c.flow)
		if ok || err != nil {
			return m, err
		}
		select {
		case <-c.inbox.ready:
		case <-c.ctx.Done():
			return Message{}, c.ctx.Err()
		}
	}
}

// SendHeader sends header metadata ahead of the first item. It is called once,
// for a caller that takes items.
func (c *Incoming) SendHeader(md metadata.MD) error {
	l := c.link
	if n := metadataSize(md); n > l.peerLimits.MaxMetadata {
		return tooMuchMetadata("header", n, l.peerLimits.MaxMetadata)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.answered || c.headed {
		return nil
	}
	c.headed = true
	h := &carpv1.Header{Metadata: appendMetadata(nil, md, false)}
	l.queue(&carpv1.Frame{Id: c.id, Kind: &carpv1.Frame_Header{Header: h}}, nil)
	return nil
}

// Send sends a response message to a caller that takes items, and returns when
// it is on its way. Data belongs to the link from then on. The error is the
// context's, or a status if the caller would not take it.
func (c *Incoming) Send(data []byte) error {
	return c.link.sendItem(&c.flow, data, c.ctx.Done(), func() error { return c.ctx.Err() })
}

// A Result is the answer to an Incoming.
type Result struct {
	Status    *status.Status // nil is OK
	Exception string
	Header    metadata.MD // what has not been sent with SendHeader
	Trailer   metadata.MD
	Payload   []byte // for a caller that doesn't take items; belongs to the link from then on
	// Sent is called when all of the payload has been handed to the stream, or won't
	// be; unless the link ends before. It must not wait. It may be nil.
	Sent func()
}

// receiveCall takes a call from the peer. It is called with mu held.
func (l *Link) receiveCall(id uint64, call *carpv1.Call) error {
	if id <= l.lastID || id%2 == l.nextID%2 {
		return violation("a call with the id %d after %d", id, l.lastID)
	}
	l.lastID = id
	size := call.GetPayloadSize()
	if err := checkInline(len(call.GetPayload()), size); err != nil {
		return err
	}
	if call.GetStreaming() && (size > 0 || len(call.GetPayload()) > 0) {
		return violation("call %d has a payload and a stream of them", id)
	}
	c := &Incoming{link: l, head: call, request: Message{Data: call.GetPayload(), link: l}}
	c.flow = flow{id: id, sendWindow: l.peerLimits.CallWindow, recvWindow: l.cfg.Limits.CallWindow}
	if call.GetStreaming() {
		c.inbox = newInbox()
	}
	if st := l.admission(c, size); st != nil {
		refused := metadata.MD{RefusedKey: {"1"}}
		l.queue(replyFrame(id, encodeReply(Result{Status: st, Trailer: refused})), nil)
		return nil
	}
	c.ctx, c.cancel = l.callContext(call)
	l.serving[id] = c
	if size == 0 {
		c.run()
		return nil
	}
	l.expect(&c.flow, int64(size), func(a *arrival) {
		if !c.answered {
			c.request.Data, c.request.held = a.data, a.held()
			c.run()
		}
	})
	return nil
}

func (c *Incoming) run() {
	c.running = true
	go c.link.cfg.Serve(c)
}

// admission says why a call is not taken, or nil.
func (l *Link) admission(c *Incoming, size uint64) *status.Status {
	limits := l.cfg.Limits
	var ok bool
	_, c.metadata, ok = splitMetadata(c.head.GetMetadata(), limits.MaxMetadata)
	switch {
	case l.leaving:
		return status.New(codes.Unavailable, "the host is shutting down and takes no more calls")
	case len(l.serving) >= limits.MaxCalls:
		return status.Newf(codes.ResourceExhausted, "%d calls are in flight on this link, more are not taken", limits.MaxCalls)
	case !ok:
		return status.Newf(codes.ResourceExhausted, "the metadata counts more than %d bytes", limits.MaxMetadata)
	case size > uint64(limits.MaxPayload):
		return status.Newf(codes.ResourceExhausted, "the request has %d bytes, at most %d are taken", size, limits.MaxPayload)
	}
	return nil
}

func (l *Link) callContext(call *carpv1.Call) (context.Context, context.CancelFunc) {
	if ns := call.GetTimeoutNs(); ns > 0 && ns < 1<<62 {
		return context.WithTimeout(l.ctx, time.Duration(ns))
	}
	return context.WithCancel(l.ctx)
}

// Reply ends the call. Only the first Reply has an effect. What has arrived and
// was not received is dropped.
func (c *Incoming) Reply(r Result) {
	l, sent := c.link, r.Sent
	if n := int64(len(r.Payload)); n > l.peerLimits.MaxPayload {
		r = Result{Status: tooLarge("reply", n, l.peerLimits.MaxPayload)}
	}
	if n := metadataSize(r.Header) + metadataSize(r.Trailer); n > l.peerLimits.MaxMetadata {
		r = Result{Status: status.Convert(tooMuchMetadata("reply", n, l.peerLimits.MaxMetadata))}
	}
	reply := encodeReply(r)
	if sent == nil {
		sent = func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.taken && c.request.held > 0 {
		l.pool.free += c.request.held
		l.admit()
	}
	l.answer(c, reply, r.Payload, sent)
}

// answer sends the reply to a call. The call counts as in flight until the reply
// has been sent: a peer that doesn't read gets no room for further calls. It is
// called with mu held.
func (l *Link) answer(c *Incoming, reply *carpv1.Reply, payload []byte, sent func()) {
	if c.answered {
		sent()
		return
	}
	c.answered = true
	c.cancel()
	l.dropPayload(&c.flow)
	l.dropInbox(&c.flow, io.EOF)
	over := func() {
		delete(l.serving, c.id)
		sent()
	}
	if reply.GetPayloadSize() == 0 {
		l.queue(replyFrame(c.id, reply), over)
		return
	}
	l.queue(replyFrame(c.id, reply), nil)
	if l.err == nil {
		l.queuePayload(&c.flow, payload, false, over)
	}
}

func encodeReply(r Result) *carpv1.Reply {
	reply := &carpv1.Reply{Exception: r.Exception}
	if r.Status.Code() != codes.OK {
		reply.Code, reply.Message = uint32(r.Status.Code()), r.Status.Message()
		reply.Details = r.Status.Proto().GetDetails()
	}
	reply.Metadata = appendMetadata(reply.Metadata, r.Header, true)
	reply.Metadata = appendMetadata(reply.Metadata, r.Trailer, false)
	if len(r.Payload) > MaxInline {
		reply.PayloadSize = uint64(len(r.Payload))
	} else {
		reply.Payload = r.Payload
	}
	return reply
}

func replyFrame(id uint64, r *carpv1.Reply) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Reply{Reply: r}}
}

// receiveCancel is called with mu held. A call whose request is not complete is
// answered here, since nobody serves it.
func (l *Link) receiveCancel(id uint64) {
	c := l.serving[id]
	if c == nil || c.answered {
		return
	}
	c.cancel()
	c.inbox.close(context.Canceled)
	if !c.running {
		l.answer(c, &carpv1.Reply{Code: uint32(codes.Canceled), Message: "the caller cancelled the call"}, nil, func() {})
	}
}
