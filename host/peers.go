package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// What one peer may announce. A host with more exports than this is no host.
const (
	maxOffers       = 1 << 16
	maxOfferMethods = 1 << 18
	maxOfferName    = 255
)

// offer is a service that a peer exports.
type offer struct {
	link    *Link
	name    string
	methods map[string]*carpv1.Method // empty for a generated service that lists none
	// What else the peer says of it.
	version  string
	metadata map[string]string
}

// has reports whether the offer includes a method; any, if the method is "".
func (o *offer) has(method string) bool {
	return method == "" || len(o.methods) == 0 || o.methods[method] != nil
}

// peers are the links of a host, and what they offer.
type peers struct {
	mu      sync.RWMutex
	closed  bool
	links   map[*Link]struct{}
	offers  map[string][]*offer        // by service
	waiting map[string][]chan struct{} // by service: who waits for a change
}

func newPeers() *peers {
	return &peers{
		links:   make(map[*Link]struct{}),
		offers:  make(map[string][]*offer),
		waiting: make(map[string][]chan struct{}),
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
	return true
}

// drop removes a link and all that it offered.
func (p *peers) drop(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
	p.clearOffers(l)
}

func (p *peers) clearOffers(l *Link) {
	for name := range l.offers {
		p.removeOffer(l, name)
	}
}

func (p *peers) removeOffer(l *Link, name string) {
	o := l.offers[name]
	if o == nil {
		return
	}
	delete(l.offers, name)
	l.offeredMethods -= len(o.methods)
	// A new slice: pick reads the old one without a lock.
	left := slices.DeleteFunc(slices.Clone(p.offers[name]), func(x *offer) bool { return x == o })
	if len(left) == 0 {
		delete(p.offers, name)
	} else {
		p.offers[name] = left
	}
	p.wake(name)
}

func (p *peers) addOffer(l *Link, e *carpv1.Export) error {
	p.removeOffer(l, e.GetName())
	l.offeredMethods += len(e.GetMethods())
	if len(e.GetName()) > maxOfferName || len(l.offers) >= maxOffers || l.offeredMethods > maxOfferMethods {
		return status.Errorf(codes.ResourceExhausted,
			"the peer announces too much: at most %d services with %d methods, and names of %d bytes, are taken",
			maxOffers, maxOfferMethods, maxOfferName)
	}
	o := &offer{
		link: l, name: e.GetName(), version: e.GetVersion(), metadata: e.GetMetadata(),
		methods: make(map[string]*carpv1.Method, len(e.GetMethods())),
	}
	for _, m := range e.GetMethods() {
		o.methods[m.GetName()] = m
	}
	l.offers[o.name] = o
	p.offers[o.name] = append(slices.Clip(p.offers[o.name]), o)
	p.wake(o.name)
	return nil
}

// apply changes what a peer offers. It is called by the reader of the link.
func (p *peers) apply(l *Link, e *carpv1.Exports) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	continued := l.announcing && e.GetGeneration() == l.generation
	switch {
	case e.GetFull() && !continued:
		p.clearOffers(l)
	case !e.GetFull() && !continued && (l.generation == 0 || e.GetBase() != l.generation):
		return status.Errorf(codes.FailedPrecondition,
			"the peer announces a difference to its state %d, the last one known is %d", e.GetBase(), l.generation)
	}
	l.generation = e.GetGeneration()
	l.announcing = e.GetMore()
	for _, name := range e.GetRemoved() {
		p.removeOffer(l, name)
	}
	for _, x := range e.GetAdded() {
		if err := p.addOffer(l, x); err != nil {
			return err
		}
	}
	if !l.announcing {
		l.announcedOnce.Do(func() { close(l.announced) })
	}
	return nil
}

// find returns the offers of a service. The slice is not changed.
func (p *peers) find(service string) []*offer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.offers[service]
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
			names = append(names, fmt.Sprintf("%q (%s, %d services)", label, l.target, len(l.offers)))
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

// closeAll closes the links and lets none in any more.
func (p *peers) closeAll(err error) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, l := range p.all() {
		l.frames.Close(status.Error(codes.Unavailable, err.Error()))
	}
}
