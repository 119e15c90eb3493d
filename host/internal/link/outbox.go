package link

import (
	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// queued is a small frame that waits to be sent.
type queued struct {
	frame *carpv1.Frame
	call  *outgoing // the call that frame opens, or nil
}

// flow is what both kinds of calls have: an id, windows, and at most one large
// payload in each direction.
type flow struct {
	id         uint64
	sendWindow int64
	recvWindow int64
	arriving   *arrival // the peer's payload, if it comes in chunks
	sending    *payload // ours
}

// payload is a large payload that is being sent.
type payload struct {
	flow *flow
	rest []byte
	sent func() // called with mu held when nothing is left
}

// queue adds a small frame. It is called with mu held.
func (l *Link) queue(f *carpv1.Frame, call *outgoing) {
	if l.err != nil {
		return
	}
	if most := 1024 + 4*(l.cfg.Limits.MaxCalls+l.peerLimits.MaxCalls); len(l.urgent) >= most {
		// Not in line: Close takes mu.
		go l.Close(refusal(codes.ResourceExhausted, "the peer sends but doesn't read: %d frames wait for it", len(l.urgent)))
		return
	}
	l.urgent = append(l.urgent, queued{frame: f, call: call})
	l.wake.Signal()
}

// queuePayload adds a large payload; the frame that announces it has been
// queued before. It is called with mu held.
func (l *Link) queuePayload(f *flow, data []byte, sent func()) {
	f.sending = &payload{flow: f, rest: data, sent: sent}
	l.bulk = append(l.bulk, f.sending)
	l.wake.Signal()
}

// dropPayload gives up what is left of a call's payload. It is called with mu
// held.
func (l *Link) dropPayload(f *flow) {
	for i, p := range l.bulk {
		if p == f.sending {
			l.bulk = append(l.bulk[:i], l.bulk[i+1:]...)
			break
		}
	}
	f.sending = nil
}

// next waits for a frame to send. The one before it has been handed over when
// next is called. It returns false when the link has ended.
func (l *Link) next() (*carpv1.Frame, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.helloSent {
		l.helloSent = true
		return &carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: hello(&l.cfg)}}, true
	}
	for {
		if l.err != nil {
			return nil, false
		}
		// Nothing but a Hello may be sent before the peer's has arrived.
		if l.peer != nil {
			if f := l.pop(); f != nil {
				return f, true
			}
			l.checkDrained()
		}
		l.wake.Wait()
	}
}

func (l *Link) pop() *carpv1.Frame {
	if len(l.urgent) > 0 {
		q := l.urgent[0]
		l.urgent[0] = queued{}
		l.urgent = l.urgent[1:]
		if q.call != nil {
			q.call.sent = true
		}
		return q.frame
	}
	return l.nextChunk()
}

// nextChunk cuts a chunk from the first payload that its windows allow to
// proceed, and puts that payload behind the others.
func (l *Link) nextChunk() *carpv1.Frame {
	for i, p := range l.bulk {
		window := min(p.flow.sendWindow, l.sendWindow)
		if window < minCost {
			continue
		}
		n := int(min(int64(len(p.rest)), MaxInline, window))
		cost := int64(max(n, minCost))
		p.flow.sendWindow -= cost
		l.sendWindow -= cost
		l.bulk = append(l.bulk[:i], l.bulk[i+1:]...)
		chunk := &carpv1.Chunk{Data: p.rest[:n]}
		if p.rest = p.rest[n:]; len(p.rest) > 0 {
			l.bulk = append(l.bulk, p)
		} else {
			p.flow.sending = nil
			p.sent()
		}
		return &carpv1.Frame{Id: p.flow.id, Kind: &carpv1.Frame_Chunk{Chunk: chunk}}
	}
	return nil
}

// checkDrained is called with mu held when everything queued has been sent.
func (l *Link) checkDrained() {
	if !l.leaving || len(l.serving) > 0 {
		return
	}
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
}
