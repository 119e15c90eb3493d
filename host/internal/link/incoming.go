package link

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// An Incoming is a call from the peer.
type Incoming struct {
	flow
	link     *Link
	head     *carpv1.Call
	metadata metadata.MD
	payload  []byte
	held     int64 // what the payload takes of the pool
	ctx      context.Context
	cancel   context.CancelFunc
	answered bool
}

// Context is the call's context. It ends with the caller's interest, its
// deadline, the link, or the call.
func (c *Incoming) Context() context.Context { return c.ctx }

// Method is the path that is called.
func (c *Incoming) Method() string { return c.head.GetMethod() }

// Codec is the codec of the payload, as the peer named it.
func (c *Incoming) Codec() string { return c.head.GetCodec() }

// OneWay tells that the caller waits only until the call is admitted.
func (c *Incoming) OneWay() bool { return c.head.GetOneWay() }

// Metadata is the caller's metadata. It belongs to the callee.
func (c *Incoming) Metadata() metadata.MD { return c.metadata }

// Payload is the request's body. It must not be used after Free.
func (c *Incoming) Payload() []byte { return c.payload }

// Free gives up the payload. It is called at most once.
func (c *Incoming) Free() {
	c.payload = nil
	if c.held > 0 {
		c.link.release(c.held)
		c.held = 0
	}
}

// A Result is the answer to an Incoming.
type Result struct {
	Status    *status.Status // nil is OK
	Exception string
	Header    metadata.MD
	Trailer   metadata.MD
	Payload   []byte // belongs to the link from then on
}

// receiveCall takes a call from the peer. It is called with mu held.
func (l *Link) receiveCall(id uint64, call *carpv1.Call) error {
	if id <= l.lastID || id%2 == l.nextID%2 {
		return violation("a call with the id %d after %d", id, l.lastID)
	}
	l.lastID = id
	size := call.GetPayloadSize()
	if len(call.GetPayload()) > MaxInline || size > 0 && len(call.GetPayload()) > 0 {
		return violation("a payload of %d bytes in one frame", len(call.GetPayload()))
	}
	c := &Incoming{link: l, head: call, payload: call.GetPayload()}
	c.flow = flow{id: id, sendWindow: l.peerLimits.CallWindow, recvWindow: l.cfg.Limits.CallWindow}
	if st := l.admission(c, size); st != nil {
		l.queue(replyFrame(id, &carpv1.Reply{Code: uint32(st.Code()), Message: st.Message()}), nil)
		return nil
	}
	c.ctx, c.cancel = l.callContext(call)
	l.serving[id] = c
	if size == 0 {
		go l.cfg.Serve(c)
		return nil
	}
	l.expect(&c.flow, int64(size), func(data []byte) {
		if c.answered {
			return
		}
		c.payload, c.held = data, int64(size)
		go l.cfg.Serve(c)
	})
	return nil
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
	case c.head.GetStreaming():
		return status.New(codes.Unimplemented, "this link carries calls with one request and one reply, no streams")
	}
	return nil
}

func (l *Link) callContext(call *carpv1.Call) (context.Context, context.CancelFunc) {
	if ns := call.GetTimeoutNs(); ns > 0 && ns < 1<<62 {
		return context.WithTimeout(l.ctx, time.Duration(ns))
	}
	return context.WithCancel(l.ctx)
}

// Reply ends the call. Only the first Reply has an effect.
func (c *Incoming) Reply(r Result) {
	l := c.link
	if n := int64(len(r.Payload)); n > l.peerLimits.MaxPayload {
		r = Result{Status: status.Newf(codes.ResourceExhausted,
			"the reply has %d bytes, the caller takes at most %d", n, l.peerLimits.MaxPayload)}
	}
	if n := metadataSize(r.Header) + metadataSize(r.Trailer); n > l.peerLimits.MaxMetadata {
		r = Result{Status: status.Newf(codes.ResourceExhausted,
			"the metadata of the reply counts %d bytes, the caller takes at most %d", n, l.peerLimits.MaxMetadata)}
	}
	reply := encodeReply(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer(c, reply, r.Payload)
}

// answer sends the reply to a call. It is called with mu held.
func (l *Link) answer(c *Incoming, reply *carpv1.Reply, payload []byte) {
	if c.answered {
		return
	}
	c.answered = true
	c.cancel()
	l.giveUp(c.arriving)
	l.queue(replyFrame(c.id, reply), nil)
	over := func() { delete(l.serving, c.id) }
	if reply.GetPayloadSize() > 0 && l.err == nil {
		l.queuePayload(&c.flow, payload, over)
		return
	}
	over()
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
	if c.arriving == nil {
		return
	}
	l.answer(c, &carpv1.Reply{Code: uint32(codes.Canceled), Message: "the caller cancelled the call"}, nil)
}
