package link

import (
	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// queued is a small frame that waits to be sent.
type queued struct {
	frame *carpv1.Frame
	sent  func() // or nil; called with mu held when the writer takes the frame
}

// flow is what both kinds of calls have: an id, windows, at most one payload on
// its way out, and at most one large one on its way in.
type flow struct {
	id         uint64
	sendWindow int64
	recvWindow int64
	arriving   *arrival // the peer's payload, if it comes in chunks
	sending    *payload // ours
	inbox      inbox
}

// payload is a message that is being sent and may have to wait for windows: an
// item, or what is too large for its frame.
type payload struct {
	flow     *flow
	rest     []byte
	announce bool   // the Item has not been sent yet
	sent     func() // called with mu held when nothing is left
}

// backlog is how many small frames may wait for the peer to read: calls,
// cancels, replies, and what else a peer of good will causes.
func (l *Link) backlog() int {
	return 1024 + 4*(l.cfg.Limits.MaxCalls+cap(l.slots))
}

// queue adds a small frame. It is called with mu held.
func (l *Link) queue(f *carpv1.Frame, sent func()) {
	if l.err != nil {
		return
	}
	if len(l.urgent) >= l.backlog() {
		// Not in line: Close takes mu.
		go l.Close(refusal(codes.ResourceExhausted, "the peer sends but doesn't read: %d frames wait for it", len(l.urgent)))
		return
	}
	l.urgent = append(l.urgent, queued{frame: f, sent: sent})
	l.wake.Signal()
}

// queuePayload adds a large payload that a frame announces which has been queued
// before, or an item, which announces itself. It is called with mu held.
func (l *Link) queuePayload(f *flow, data []byte, item bool, sent func()) {
	f.sending = &payload{flow: f, rest: data, announce: item, sent: sent}
	l.bulk = append(l.bulk, f.sending)
	l.wake.Signal()
}

// dropPayload gives up what is left of a call's payload. It is called with mu
// held.
func (l *Link) dropPayload(f *flow) {
	if f.sending == nil {
		return
	}
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
			if f := l.announcement(); f != nil {
				return f, true
			}
			if l.news || l.err != nil {
				continue // meanwhile
			}
			if f := l.pop(); f != nil {
				return f, true
			}
			l.checkDrained()
		}
		l.wake.Wait()
	}
}

// announcement asks for something to announce. It gives up mu for that, and
// holds it again when it returns.
func (l *Link) announcement() *carpv1.Frame {
	if !l.news || l.cfg.Announcement == nil {
		l.news = false
		return nil
	}
	l.news = false
	l.mu.Unlock()
	e := l.cfg.Announcement()
	l.mu.Lock()
	if e == nil {
		return nil
	}
	l.news = true // there may be more
	return &carpv1.Frame{Kind: &carpv1.Frame_Exports{Exports: e}}
}

func (l *Link) pop() *carpv1.Frame {
	if len(l.urgent) > 0 {
		q := l.urgent[0]
		l.urgent[0] = queued{}
		l.urgent = l.urgent[1:]
		if q.sent != nil {
			q.sent()
		}
		return q.frame
	}
	for i, p := range l.bulk {
		if f := l.piece(i, p); f != nil {
			return f
		}
	}
	return nil
}

// piece cuts what may be sent now from a payload, the i-th, and puts it behind
// the others.
func (l *Link) piece(i int, p *payload) *carpv1.Frame {
	window := min(p.flow.sendWindow, l.sendWindow)
	if p.announce {
		if window <= 0 {
			return nil
		}
		return l.item(i, p)
	}
	if window < minCost {
		return nil
	}
	n := int(min(int64(len(p.rest)), MaxInline, window))
	l.pay(p.flow, n)
	chunk := &carpv1.Chunk{Data: p.rest[:n]}
	p.rest = p.rest[n:]
	l.advance(i, p, len(p.rest) == 0)
	return &carpv1.Frame{Id: p.flow.id, Kind: &carpv1.Frame_Chunk{Chunk: chunk}}
}

// item sends an item, or announces a large one.
func (l *Link) item(i int, p *payload) *carpv1.Frame {
	p.announce = false
	it := new(carpv1.Item)
	small := len(p.rest) <= MaxInline
	if small {
		it.Payload = p.rest
		l.pay(p.flow, len(p.rest))
	} else {
		it.PayloadSize = uint64(len(p.rest))
		l.pay(p.flow, 0)
	}
	l.advance(i, p, small)
	return &carpv1.Frame{Id: p.flow.id, Kind: &carpv1.Frame_Item{Item: it}}
}

func (l *Link) pay(f *flow, n int) {
	cost := int64(max(n, minCost))
	f.sendWindow -= cost
	l.sendWindow -= cost
}

// advance puts the i-th payload behind the others, or removes it when it is over.
func (l *Link) advance(i int, p *payload, over bool) {
	l.bulk = append(l.bulk[:i], l.bulk[i+1:]...)
	if !over {
		l.bulk = append(l.bulk, p)
		return
	}
	p.flow.sending = nil
	p.sent()
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
