package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// A Provider is a host that exports what is wanted, as a [Picker] sees it.
type Provider struct {
	// HostID and Label say which host it is.
	HostID, Label string
	// Local tells that it is the host that makes the call.
	Local bool
	// Version and Metadata are what it exported the service with. The map
	// must not be changed.
	Version  string
	Metadata map[string]string
	// Link leads to it; nil if it is local.
	Link *Link
}

// A Picker chooses who gets a call. It returns an index into providers, of which
// there is at least one, the local host first if it is one; or a negative number
// for none of them. Method is the name of what is called: "Calculator.Add". It is
// called for each call, by any number of goroutines at a time, and must not keep
// providers.
type Picker func(method string, providers []Provider) int

// WithPicker chooses among the hosts that export what is called. The default is
// [Random]. Pickers see only providers whose signatures fit.
func WithPicker(p Picker) SharedOption {
	return func(c *callConfig) { c.picker = p }
}

// Random chooses this host if it is a provider, or else any.
func Random() Picker {
	return func(_ string, providers []Provider) int {
		if providers[0].Local {
			return 0
		}
		return rand.IntN(len(providers)) //nolint:gosec // spreads load, guards nothing
	}
}

// RoundRobin chooses this host if it is a provider, or else each in turn, for each
// method by itself.
func RoundRobin() Picker {
	var turns sync.Map // method → *atomic.Uint64
	return func(method string, providers []Provider) int {
		if providers[0].Local {
			return 0
		}
		turn, _ := turns.LoadOrStore(method, new(atomic.Uint64))
		return int((turn.(*atomic.Uint64).Add(1) - 1) % uint64(len(providers)))
	}
}

// Sticky chooses this host if it is a provider, or else any, and stays with it as
// long as it is one.
func Sticky() Picker {
	var mu sync.Mutex
	chosen := make(map[string]string) // method → host id
	return func(method string, providers []Provider) int {
		if providers[0].Local {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		i := slices.IndexFunc(providers, func(p Provider) bool { return p.HostID == chosen[method] })
		if i < 0 {
			i = rand.IntN(len(providers)) //nolint:gosec // spreads load, guards nothing
			chosen[method] = providers[i].HostID
		}
		return i
	}
}

// OnHost chooses only hosts of these ids or labels, this one if it is among them.
// With one name it is the host that is meant, with several they are those that are
// trusted. Labels are what hosts call themselves; ids can't be guessed.
func OnHost(names ...string) Picker {
	return func(_ string, providers []Provider) int {
		chosen, n := -1, 0
		for i := range providers {
			p := &providers[i]
			if !slices.Contains(names, p.HostID) && !slices.Contains(names, p.Label) {
				continue
			}
			if p.Local {
				return i
			}
			if n++; rand.IntN(n) == 0 { //nolint:gosec // spreads load, guards nothing
				chosen = i
			}
		}
		return chosen
	}
}

// A demand is what a provider must have: a method of a service, with a signature
// that fits.
type demand struct {
	path, service, method string
	signature             *bind.Signature // nil for any
	picker                Picker          // nil for this host or any
	fitting               sync.Map        // canonical text → error: why it doesn't fit
	compared              atomic.Int64    // how many there are in fitting
}

// maxCompared bounds what is remembered of signatures: a peer may announce another one
// each time.
const maxCompared = 256

func newDemand(path string) *demand {
	d := &demand{path: path}
	d.service, d.method, _ = splitPath(path)
	return d
}

// fit says why a function with an announced signature isn't what is wanted.
func (d *demand) fit(canonical string, hash uint64) error {
	if d.signature == nil || canonical == "" || hash != 0 && hash == d.signature.Hash() && canonical == d.signature.Canonical() {
		return nil
	}
	if known, ok := d.fitting.Load(canonical); ok {
		err, _ := known.(error)
		return err
	}
	err := bind.Fit(d.signature.Canonical(), canonical)
	if len(canonical) > bind.MaxCanonical {
		return err // no signature, and too long to be remembered
	}
	if d.compared.Add(1) > maxCompared {
		d.fitting.Clear()
		d.compared.Store(0)
	}
	if err == nil {
		d.fitting.Store(canonical, nil)
	} else {
		d.fitting.Store(canonical, err)
	}
	return err
}

// fitLocal is fit for what this host exports. Generated services are wanted by
// name.
func (d *demand) fitLocal(e endpoint) error {
	if f, ok := e.(*function); ok {
		return d.fit(f.sig.Canonical(), f.sig.Hash())
	}
	return nil
}

func (d *demand) fitOffer(o *offer) error {
	m := o.methods[d.method]
	return d.fit(m.GetSignature(), m.GetSignatureHash())
}

// pickFor chooses a provider: by default this host if it exports what is wanted, or
// else a random one of those that do. Links in tried are left out.
func (h *Host) pickFor(d *demand, tried []*Link) (provider, error) {
	if d.picker != nil {
		return h.pickWith(d, tried)
	}
	if e := h.exports.lookup(d.path); e != nil && d.fitLocal(e) == nil {
		return provider{host: h}, nil
	}
	if o := pickOffer(h.peers.find(d.service), d, tried); o != nil {
		return provider{host: h, link: o.link, offer: o}, nil
	}
	return provider{}, h.noProvider(d)
}

// pickOffer chooses among the offers that fit.
func pickOffer(offers []*offer, d *demand, tried []*Link) *offer {
	var chosen *offer
	n := 0
	for _, o := range offers {
		if !o.has(d.method) || d.fitOffer(o) != nil || slices.Contains(tried, o.link) {
			continue
		}
		if n++; n == 1 || rand.IntN(n) == 0 { //nolint:gosec // spreads load, guards nothing
			chosen = o
		}
	}
	return chosen
}

func (h *Host) pickWith(d *demand, tried []*Link) (provider, error) {
	all, offers := h.providers(d, tried)
	if len(all) == 0 {
		return provider{}, h.noProvider(d)
	}
	i := d.picker(pathName(d.path), all)
	if i < 0 || i >= len(all) {
		return provider{}, status.Errorf(codes.Unavailable, "%s export %s, but the policy chose none of them", labels(all), pathName(d.path))
	}
	return provider{host: h, link: all[i].Link, offer: offers[i]}, nil
}

func labels(all []Provider) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = fmt.Sprintf("%q", all[i].Label)
	}
	return "the hosts " + strings.Join(names, ", ")
}

// providers are those that fit, this host first, and the offers that they are.
func (h *Host) providers(d *demand, tried []*Link) ([]Provider, []*offer) {
	var all []Provider
	var offers []*offer
	if h.exportsFor(d) {
		p := Provider{HostID: h.id, Label: h.label, Local: true}
		if s := h.exports.service(d.service); s != nil {
			p.Version, p.Metadata = s.version, s.metadata
		}
		all, offers = append(all, p), append(offers, nil)
	}
	for _, o := range h.peers.find(d.service) {
		if !o.has(d.method) || d.fitOffer(o) != nil || slices.Contains(tried, o.link) {
			continue
		}
		all, offers = append(all, Provider{
			HostID: o.link.PeerID(), Label: o.link.PeerLabel(), Link: o.link,
			Version: o.version, Metadata: o.metadata,
		}), append(offers, o)
	}
	return all, offers
}

// Providers are the hosts that export a name now, this one first if it does.
func (h *Host) Providers(name string) []Provider {
	all, _ := h.providers(newDemand(joinPath(splitName(name))), nil)
	if len(all) == 0 {
		all, _ = h.providers(&demand{service: name}, nil)
	}
	return all
}

func (h *Host) exportsFor(d *demand) bool {
	if d.method == "" {
		return h.exports.has(d.service)
	}
	e := h.exports.lookup(d.path)
	return e != nil && d.fitLocal(e) == nil
}

// provided reports whether there is somebody to call.
func (h *Host) provided(d *demand) bool {
	if d.picker == nil {
		return h.exportsFor(d) || pickOffer(h.peers.find(d.service), d, nil) != nil
	}
	_, err := h.pickWith(d, nil)
	return err == nil
}

// noProvider says that nobody can take a call, and who can't.
func (h *Host) noProvider(d *demand) error {
	if err := h.usable(); err != nil {
		return status.Errorf(codes.Unavailable, "host %q: %v", h.label, err)
	}
	if unfit := h.unfit(d); unfit != "" {
		return status.Errorf(codes.Unavailable, "no host exports %s as %s now; %s", pathName(d.path), d.signature.Canonical(), unfit)
	}
	if refused := h.refusedBy(d.service); refused != "" {
		return status.Errorf(codes.Unavailable, "no host exports %s now; %s", pathName(d.path), refused)
	}
	return status.Errorf(codes.Unavailable, "no host exports %s now; %s", pathName(d.path), h.peers.describe())
}

// unfit lists the hosts that export what is wanted with another signature.
func (h *Host) unfit(d *demand) string {
	var all []string
	note := func(who, canonical string, err error) {
		if err != nil {
			all = append(all, fmt.Sprintf("%s exports it as %s: %v", who, canonical, err))
		}
	}
	if f, ok := h.exports.lookup(d.path).(*function); ok {
		note("this host", f.sig.Canonical(), d.fitLocal(f))
	}
	for _, o := range h.peers.find(d.service) {
		if o.has(d.method) {
			label, _ := o.link.label()
			note(fmt.Sprintf("host %q (%s)", label, o.link.target), o.methods[d.method].GetSignature(), d.fitOffer(o))
		}
	}
	slices.Sort(all)
	const most = 4
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("and %d more don't fit", more))
	}
	return strings.Join(all, "; ")
}
