package link

import (
	"time"

	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// keepalive finds out whether a silent peer lives. It is guarded by Link.mu.
type keepalive struct {
	timer *time.Timer
	heard bool // something has come in since the timer last fired
	asked bool // a Ping was sent then
}

// start is called when the peer has said hello.
func (k *keepalive) start(l *Link) {
	if every := l.cfg.Keepalive; every > 0 {
		k.timer = time.AfterFunc(every, func() { k.look(l) })
	}
}

func (k *keepalive) stop() {
	if k.timer != nil {
		k.timer.Stop()
	}
}

// look asks a peer that has been silent, and ends the link with one that was
// asked and still is.
func (k *keepalive) look(l *Link) {
	every := l.cfg.Keepalive
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	silent := !k.heard
	if silent && k.asked {
		l.mu.Unlock()
		l.Close(refusal(codes.Unavailable, "the peer has shown no sign of life for %v", 2*every))
		return
	}
	defer l.mu.Unlock()
	if silent {
		l.queue(&carpv1.Frame{Kind: &carpv1.Frame_Ping{Ping: &carpv1.Ping{}}}, nil)
	}
	k.asked, k.heard = silent, false
	k.timer.Reset(every)
}
