package host

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// unfitProxies is why none of the providers of what is wanted returns objects that have
// the methods of the proxies which the program makes of them, or "". It is asked when
// something is required, and not for each call.
func (h *Host) unfitProxies(d *demand) string {
	if d.signature == nil || !slices.ContainsFunc(d.signature.Results, isTypedProxy) {
		return ""
	}
	_, offers := h.providers(d, nil)
	var all []string
	for _, o := range offers {
		who, canonical := "this host", ""
		if o != nil {
			who = fmt.Sprintf("host %q (%s)", shorten(o.link.PeerLabel()), o.link.target)
			canonical = o.methods[d.method].GetSignature()
		} else if f, ok := h.exports.lookup(d.path).(*function); ok {
			canonical = f.sig.Canonical()
		}
		c := proxyCheck{host: h, offer: o, seen: make(map[proxyKey]bool)}
		c.results(d.signature, canonical)
		if len(c.unfit) == 0 {
			return ""
		}
		all = append(all, who+": "+strings.Join(c.unfit, "; "))
	}
	return strings.Join(all, "; ")
}

func isTypedProxy(r bind.Result) bool { return isProxy(r.Go) && r.Go.Elem() != objectType }

// proxyCheck compares proxies with the classes that one provider announces.
type proxyCheck struct {
	host  *Host
	offer *offer // of the provider's link; nil for the host itself
	seen  map[proxyKey]bool
	unfit []string
}

// results checks the proxies among the results of a function.
func (c *proxyCheck) results(sig *bind.Signature, canonical string) {
	classes := bind.ResultClasses(canonical)
	for i, r := range sig.Results {
		if isTypedProxy(r) && i < len(classes) && classes[i] != "" {
			c.proxy(r.Go.Elem(), classes[i])
		}
	}
}

// proxy checks the methods of one.
func (c *proxyCheck) proxy(t reflect.Type, class string) {
	key := proxyKey{t, class}
	if c.seen[key] || !c.announced(class) {
		return
	}
	c.seen[key] = true
	methods, err := c.host.proxyMethods(t, class)
	if err != nil {
		c.unfit = append(c.unfit, err.Error())
		return
	}
	for _, m := range methods {
		name := pathName(m.required.path)
		canonical, ok := c.method(m.required.demand)
		if !ok {
			c.unfit = append(c.unfit, fmt.Sprintf("the class %s has no method %s", class, m.required.demand.method))
			continue
		}
		if err := m.required.demand.fit(canonical, 0); err != nil {
			c.unfit = append(c.unfit, fmt.Sprintf("%s is wanted as %s, and is %s: %v", name, m.required.sig.Canonical(), canonical, err))
			continue
		}
		c.results(m.required.sig, canonical)
	}
}

// announced tells whether the methods of a class are known.
func (c *proxyCheck) announced(class string) bool {
	if c.offer == nil {
		return c.host.exports.has(class)
	}
	o := c.host.peers.offerOf(c.offer.link, class)
	return o != nil && len(o.methods) > 0
}

// method is the signature of a method of the class, if there is one.
func (c *proxyCheck) method(d *demand) (canonical string, ok bool) {
	if c.offer == nil {
		switch e := c.host.exports.lookup(d.path).(type) {
		case *instanceMethod:
			return e.sig.Canonical(), true
		case *function: // of the class
			return e.sig.Canonical(), true
		}
		return "", false
	}
	o := c.host.peers.offerOf(c.offer.link, d.service)
	if o == nil {
		return "", true // it has just gone
	}
	m := o.methods[d.method]
	return m.GetSignature(), m != nil
}

// offerOf is what a link's peer announces of a service, or nil.
func (p *peers) offerOf(l *Link, service string) *offer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return l.offers[service]
}
