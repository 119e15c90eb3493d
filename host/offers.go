package host

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// What one peer may announce. A host with more exports than this is no host.
const (
	maxOffers       = 1 << 16
	maxOfferMethods = 1 << 18
	maxOfferName    = 255
	maxOfferBytes   = 16 << 20
)

// offer is a service that a peer exports. It is not changed.
type offer struct {
	link     *Link
	name     string
	methods  map[string]*carpv1.Method // empty for a generated service that lists none
	version  string
	metadata map[string]string
	size     int // as it was announced, in bytes
}

// has reports whether the offer includes a method; any, if the method is "".
func (o *offer) has(method string) bool {
	return method == "" || len(o.methods) == 0 || o.methods[method] != nil
}

func newOffer(l *Link, e *carpv1.Export) *offer {
	o := &offer{
		link: l, name: e.GetName(), version: e.GetVersion(), metadata: e.GetMetadata(), size: proto.Size(e),
		methods: make(map[string]*carpv1.Method, len(e.GetMethods())),
	}
	for _, m := range e.GetMethods() {
		o.methods[m.GetName()] = m
	}
	return o
}

// apply changes what a peer offers. It is called by the reader of the link.
func (p *peers) apply(l *Link, e *carpv1.Exports) error {
	// What takes time is done without the lock, which everyone's calls need.
	added := make([]*offer, len(e.GetAdded()))
	for i, x := range e.GetAdded() {
		added[i] = newOffer(l, x)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	continued := l.partial && e.GetGeneration() == l.known
	switch {
	case e.GetFull() && !continued:
		for _, o := range l.offers {
			p.remove(o)
		}
	case !e.GetFull() && !continued && (l.known == 0 || e.GetBase() != l.known):
		return status.Errorf(codes.FailedPrecondition,
			"the peer announces a difference to its state %d, the last one known is %d", e.GetBase(), l.known)
	case !continued && e.GetGeneration() <= l.known:
		return status.Errorf(codes.FailedPrecondition,
			"the peer announces its state %d after %d", e.GetGeneration(), l.known)
	}
	l.known = e.GetGeneration()
	l.partial = e.GetMore()
	for _, name := range e.GetRemoved() {
		if o := l.offers[name]; o != nil {
			p.remove(o)
		}
	}
	for _, o := range added {
		if err := p.put(o); err != nil {
			return err
		}
	}
	if !l.partial {
		l.announcedOnce.Do(func() { close(l.announced) })
	}
	return nil
}

// put adds an offer, or puts it in the place of one of that name.
func (p *peers) put(o *offer) error {
	l := o.link
	if old := l.offers[o.name]; old != nil {
		p.remove(old)
	}
	l.methods += len(o.methods)
	l.bytes += o.size
	if len(o.name) > maxOfferName || len(l.offers) >= maxOffers || l.methods > maxOfferMethods || l.bytes > maxOfferBytes {
		return status.Errorf(codes.ResourceExhausted,
			"the peer announces too much: at most %d services with %d methods, names of %d bytes, and %d bytes in all, are taken",
			maxOffers, maxOfferMethods, maxOfferName, maxOfferBytes)
	}
	l.offers[o.name] = o
	if l.provides {
		p.offer(o)
	}
	return nil
}

func (p *peers) remove(o *offer) {
	l := o.link
	delete(l.offers, o.name)
	l.methods -= len(o.methods)
	l.bytes -= o.size
	if l.provides {
		p.withdraw(o)
	}
}

// offer makes an offer one that calls may go to.
func (p *peers) offer(o *offer) {
	// A new slice: pick reads the old one without a lock.
	p.offers[o.name] = append(slices.Clip(p.offers[o.name]), o)
	p.wake(o.name)
}

// withdraw is the opposite of offer.
func (p *peers) withdraw(o *offer) {
	left := slices.DeleteFunc(slices.Clone(p.offers[o.name]), func(x *offer) bool { return x == o })
	if len(left) == 0 {
		delete(p.offers, o.name)
	} else {
		p.offers[o.name] = left
	}
	p.wake(o.name)
}

// find returns the offers of a service. The slice is not changed.
func (p *peers) find(service string) []*offer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.offers[service]
}
