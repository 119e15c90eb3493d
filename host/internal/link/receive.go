package link

import (
	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// receive handles one frame of the peer. An error ends the link.
func (l *Link) receive(f *carpv1.Frame) error {
	if h := f.GetHello(); h != nil {
		return l.receiveHello(h)
	}
	if l.Peer() == nil {
		return violation("its first frame is not a hello")
	}
	// The host hears these without mu: it may call back.
	switch k := f.GetKind().(type) {
	case *carpv1.Frame_Exports:
		return l.cfg.Exports(k.Exports)
	case *carpv1.Frame_Goaway:
		l.receiveGoaway(k.Goaway)
		return nil
	case *carpv1.Frame_Release:
		if l.cfg.Release != nil {
			l.cfg.Release(k.Release.GetObjects())
		}
		return nil
	case *carpv1.Frame_Tunnel:
		if l.cfg.Tunnel != nil {
			l.cfg.Tunnel()
		}
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.alive.heard = true
	id := f.GetId()
	switch k := f.GetKind().(type) {
	case *carpv1.Frame_Call:
		return l.receiveCall(id, k.Call)
	case *carpv1.Frame_Reply:
		return l.receiveReply(id, k.Reply)
	case *carpv1.Frame_Header:
		return l.receiveHeader(id, k.Header)
	case *carpv1.Frame_Item:
		return l.receiveItem(id, k.Item)
	case *carpv1.Frame_End:
		return l.receiveEnd(id)
	case *carpv1.Frame_Chunk:
		return l.chunk(l.flow(id), k.Chunk.GetData())
	case *carpv1.Frame_Credit:
		return l.receiveCredit(id, k.Credit.GetBytes())
	case *carpv1.Frame_Cancel:
		l.receiveCancel(id)
	case *carpv1.Frame_Ping:
		l.queue(&carpv1.Frame{Kind: &carpv1.Frame_Pong{Pong: &carpv1.Pong{Token: k.Ping.GetToken()}}}, nil)
	case *carpv1.Frame_Pong:
		l.receivePong(k.Pong.GetToken())
	}
	// Other kinds are of a newer version, or of no concern here.
	return nil
}

// flow is the call in flight with this id, or nil.
func (l *Link) flow(id uint64) *flow {
	if c := l.calls[id]; c != nil {
		return &c.flow
	}
	if c := l.serving[id]; c != nil {
		return &c.flow
	}
	return nil
}

func (l *Link) receiveHello(h *carpv1.Hello) error {
	if err := checkHello(h); err != nil {
		return err
	}
	if l.Peer() != nil {
		return violation("a second hello")
	}
	if l.cfg.Greet != nil {
		if err := l.cfg.Greet(h); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.peer = h
	l.peerLimits = peerLimits(h.GetLimits())
	l.sendWindow = l.peerLimits.LinkWindow
	l.slots = make(chan struct{}, min(l.peerLimits.MaxCalls, maxOutgoing))
	l.alive.start(l)
	close(l.ready)
	l.wake.Signal()
	return nil
}

func (l *Link) receiveCredit(id, n uint64) error {
	window := &l.sendWindow
	if id != 0 {
		f := l.flow(id)
		if f == nil {
			return nil
		}
		window = &f.sendWindow
	}
	if n > maxWindow || *window+int64(n) > maxWindow {
		return violation("credit beyond %d bytes", maxWindow)
	}
	*window += int64(n)
	l.wake.Signal()
	return nil
}

// receiveGoaway fails the calls that the peer has not taken. They were sent, but
// the peer says that it didn't run them.
func (l *Link) receiveGoaway(g *carpv1.Goaway) {
	reason := g.GetReason()
	if reason == "" {
		reason = "no reason given"
	}
	l.mu.Lock()
	l.left = refusal(codes.Unavailable, "the peer takes no more calls: %s", reason)
	for id, c := range l.calls {
		if id > g.GetLastId() {
			l.dropPayload(&c.flow)
			l.giveUp(c.arriving)
			l.finish(c, nil, &LostError{Err: l.left})
		}
	}
	l.mu.Unlock()
	if l.cfg.Left != nil {
		l.cfg.Left(reason)
	}
}
