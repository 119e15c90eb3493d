package host

import (
	"context"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// peers are the links of a host, and what they offer.
type peers struct {
	mu       sync.RWMutex
	closed   bool
	links    map[*Link]struct{}
	sessions map[string]*Link
	hosts    map[string][]*Link         // by host id; the first is the one that provides
	offers   map[string][]*offer        // by service, of links that provide
	waiting  map[string][]chan struct{} // by service: who waits for a change
}

// peerState is what peers know of a link. It is guarded by peers.mu.
type peerState struct {
	hostID    string
	hostLabel string
	nonce     []byte
	provides  bool // calls may go to this link
	gone      bool // dropped, or the peer takes no more calls
	offers    map[string]*offer
	methods   int    // of all offers
	bytes     int    // of all offers
	known     uint64 // the generation of the last announcement
	partial   bool   // more frames of the generation known follow
}

func newPeers() *peers {
	return &peers{
		links:    make(map[*Link]struct{}),
		sessions: make(map[string]*Link),
		hosts:    make(map[string][]*Link),
		offers:   make(map[string][]*offer),
		waiting:  make(map[string][]chan struct{}),
	}
}

// add registers a link, unless the host is closing.
func (p *peers) add(l *Link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.links[l] = struct{}{}
	if l.ourSession != "" {
		p.sessions[l.ourSession] = l
	}
	return true
}

// session is the link to which a session was given, or nil.
func (p *peers) session(id string) *Link {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sessions[id]
}

// greet takes note of who is at the other end of a link. Nobody may say that they
// are a host that is linked, unless they know its nonce. Of several links with
// one host the first provides, and the others stand by.
func (p *peers) greet(h *Host, l *Link, hello *carpv1.Hello) error {
	id := hello.GetHostId()
	if id == "" {
		return nil // a client with a session
	}
	if id == h.id {
		return status.Errorf(codes.FailedPrecondition, "host %q has dialled itself", h.label)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	others := p.hosts[id]
	if len(others) > 0 && (len(hello.GetNonce()) == 0 || subtle.ConstantTimeCompare(others[0].nonce, hello.GetNonce()) != 1) {
		return status.Errorf(codes.AlreadyExists,
			"the host id %q is that of another linked host, %q: the nonces differ", shorten(id), others[0].hostLabel)
	}
	l.hostID, l.hostLabel, l.nonce = id, hello.GetLabel(), hello.GetNonce()
	l.provides = len(others) == 0
	p.hosts[id] = append(others, l)
	return nil
}

// shorten bounds what a peer chose, for texts.
func shorten(s string) string { return cut(s, 80) }

// drop removes a link and all that it offered.
func (p *peers) drop(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	delete(p.sessions, l.ourSession)
	p.leave(l)
	clear(l.offers)
}

// retire makes no more calls over a link whose peer takes none, but lets those in
// flight end.
func (p *peers) retire(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(l)
}

// leave takes a link from those that provide, and puts the next one with the same
// host in its place. It is called with mu held.
func (p *peers) leave(l *Link) {
	l.gone = true
	if l.provides {
		l.provides = false
		for _, o := range l.offers {
			p.withdraw(o)
		}
	}
	if l.hostID == "" {
		return
	}
	left := slices.DeleteFunc(p.hosts[l.hostID], func(x *Link) bool { return x == l })
	if len(left) == 0 {
		delete(p.hosts, l.hostID)
		return
	}
	p.hosts[l.hostID] = left
	if next := left[0]; !next.provides {
		next.provides = true
		for _, o := range next.offers {
			p.offer(o)
		}
	}
}

// watch returns a channel that is closed at the next change of a service, and a
// function that gives it back.
func (p *peers) watch(service string) (<-chan struct{}, func()) {
	ch := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[service] = append(p.waiting[service], ch)
	return ch, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		left := slices.DeleteFunc(p.waiting[service], func(x chan struct{}) bool { return x == ch })
		if p.waiting[service] = left; len(left) == 0 {
			delete(p.waiting, service)
		}
	}
}

// wake wakes who waits for a service. It is called with mu held.
func (p *peers) wake(service string) {
	for _, ch := range p.waiting[service] {
		close(ch)
	}
	delete(p.waiting, service)
}

// wakeFor is wake for others.
func (p *peers) wakeFor(service string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake(service)
}

// all returns the links.
func (p *peers) all() []*Link {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Keys(p.links))
}

// describe lists the linked hosts, for error texts.
func (p *peers) describe() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var names []string
	for l := range p.links {
		if label, ok := l.label(); ok {
			names = append(names, fmt.Sprintf("%q (%s, %d services)", shorten(label), l.target, len(l.offers)))
		}
	}
	if len(names) == 0 {
		return "no hosts are linked"
	}
	slices.Sort(names)
	const most = 8
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return "linked hosts: " + strings.Join(names, ", ")
}

// goaway tells all peers that no more calls are taken, and waits until those
// that were taken over links are answered.
func (p *peers) goaway(ctx context.Context, reason string) error {
	errs := make(chan error)
	links := p.all()
	for _, l := range links {
		go func() { errs <- l.frames.Goaway(ctx, reason) }()
	}
	var first error
	for range links {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// drain has the answers handed over that go against the direction in which a link
// was dialled.
func (p *peers) drain(ctx context.Context) error {
	for _, l := range p.all() {
		if l.server == nil {
			continue
		}
		if !within(ctx, l.server.GracefulStop) || !within(ctx, l.tunnel.drain) {
			return ctx.Err()
		}
	}
	return nil
}

// closeAll closes the links and lets none in any more.
func (p *peers) closeAll(err error) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, l := range p.all() {
		l.frames.Close(status.Error(codes.Unavailable, err.Error()))
	}
}
