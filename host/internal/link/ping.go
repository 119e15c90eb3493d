package link

import (
	"context"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// Ping returns when the peer has handled everything that was sent to it before,
// announcements included. The error is the context's, or why the link ended.
func (l *Link) Ping(ctx context.Context) error {
	pong := make(chan struct{})
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	l.lastPing++
	token := l.lastPing
	l.pings[token] = pong
	l.queue(&carpv1.Frame{Kind: &carpv1.Frame_Ping{Ping: &carpv1.Ping{Token: token}}}, nil)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pings, token)
	}()
	select {
	case <-pong:
		return nil
	case <-l.done:
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receivePong is called with mu held.
func (l *Link) receivePong(token uint64) {
	if pong := l.pings[token]; pong != nil {
		delete(l.pings, token)
		close(pong)
	}
}
