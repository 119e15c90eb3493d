package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// passing is the references that go with one call.
type passing struct {
	to    provider
	held  *holdings // what the other end holds of this host's
	lent  []string  // callbacks: until the call ends
	given []string  // objects
}

func newPassing(to provider) *passing { return &passing{to: to, held: to.objects()} }

// depart returns what travels in the place of an instance or a proxy.
func (p *passing) depart(v reflect.Value) (*value.Ref, error) {
	if v.IsNil() {
		return nil, nil
	}
	h := p.to.host
	if c := h.classOf(v.Type()); c != nil {
		return p.give(c, v)
	}
	o := objectIn(v)
	if o.handle == nil {
		return nil, nil
	}
	r := o.handle.reference
	switch {
	case r.released.Load():
		return nil, errReleased
	case r.at.link == p.to.link:
		owner := h.id
		if r.at.link != nil {
			owner = r.at.link.PeerID()
		}
		return &value.Ref{Class: r.ref.Class, ID: r.ref.ID, Host: owner}, nil
	case r.at.link == nil: // one of this host's own
		x, done, err := h.local.use(r.ref.ID)
		if err != nil {
			return nil, err
		}
		defer done()
		return p.give(x.class, x.value)
	}
	return nil, fmt.Errorf("the object of class %s is of the host %q, and references to it are not passed on to others",
		r.ref.Class, r.at.link.PeerLabel())
}

func (p *passing) give(c *class, v reflect.Value) (*value.Ref, error) {
	if err := p.to.backward("objects"); err != nil {
		return nil, err
	}
	ref, err := p.held.give(c, v)
	if err != nil {
		return nil, err
	}
	p.given = append(p.given, ref.ID)
	return &ref, nil
}

// lend returns what travels in the place of a function.
func (p *passing) lend(sig *bind.Signature, fn reflect.Value) (*value.Ref, error) {
	if fn.IsNil() {
		return nil, nil
	}
	if err := p.to.backward("callbacks"); err != nil {
		return nil, err
	}
	ref, err := p.held.lend(&function{host: p.to.host, sig: sig, fn: fn})
	if err != nil {
		return nil, err
	}
	p.lent = append(p.lent, ref.ID)
	return &ref, nil
}

// refers reports whether a dynamic argument travels as a reference.
func (h *Host) refers(v reflect.Value) bool {
	return v.IsValid() && (v.Kind() == reflect.Func || isProxy(v.Type()) || h.classOf(v.Type()) != nil)
}

// dynamic returns what travels in the place of an argument whose function is not
// known.
func (p *passing) dynamic(v reflect.Value) (reflect.Value, error) {
	var ref *value.Ref
	var err error
	if v.Kind() == reflect.Func {
		var sig *bind.Signature
		if sig, err = p.to.host.parser().Exported(v.Type()); err == nil {
			ref, err = p.lend(sig, v)
		}
	} else {
		ref, err = p.depart(v)
	}
	return reflect.ValueOf(ref), err
}

// values returns what travels in the place of a required function's arguments.
func (p *passing) values(sig *bind.Signature, in []reflect.Value) ([]reflect.Value, error) {
	out := slices.Clone(in)
	for i := range in {
		param := &sig.Params[i]
		if param.Ref == "" {
			continue
		}
		var ref *value.Ref
		var err error
		if param.Callback != nil {
			ref, err = p.lend(param.Callback, in[i])
		} else {
			ref, err = p.depart(in[i])
		}
		if err != nil {
			return nil, fmt.Errorf("argument %q: %w", param.Name, err)
		}
		out[i] = reflect.ValueOf(ref)
	}
	return out, nil
}

// argumentError is why a call can't be made with its arguments: what the host itself
// says of a limit keeps its code.
func argumentError(err error) error {
	code := codes.InvalidArgument
	if own, ok := errors.AsType[*namedError](err); ok {
		code = own.status.Code()
	}
	return status.Error(code, err.Error())
}

// settle takes back what was lent, when the call has ended with err, and what was
// given if the callee has never had it.
func (p *passing) settle(trailer metadata.MD, err error) {
	retained := trailer.Get(retainedKey)
	for _, id := range p.lent {
		if !slices.Contains(retained, id) {
			p.held.take(id, 0)
		}
	}
	if e, ok := err.(*Error); ok && (!e.remote || e.exception == exceptionBind || e.exception == exceptionHost) { //nolint:errorlint // as callError made it
		for _, id := range p.given {
			p.held.take(id, 1)
		}
	}
}

// arrive returns what a reference stands for that came from another end, as a t.
func (p provider) arrive(ref *value.Ref, t reflect.Type) (reflect.Value, error) {
	if ref == nil {
		return reflect.Zero(t), nil
	}
	own := p.link == nil || ref.Host == p.host.id ||
		ref.Host == "" && p.link.PeerID() == "" // a client in a session has no objects, and sends back what it was sent
	if c := p.host.classOf(t); c != nil {
		if !own {
			return reflect.Value{}, fmt.Errorf("the object of class %s lives in another host, one of this host is wanted", ref.Class)
		}
		return p.ownInstance(ref, c)
	}
	if own && (p.link != nil || ref.Host != "") {
		// One of this host's own, for which the program wants a reference.
		x, done, err := p.objects().use(ref.ID)
		if err != nil {
			return reflect.Value{}, err
		}
		defer done()
		given, err := p.host.local.give(x.class, x.value)
		if err != nil {
			return reflect.Value{}, err
		}
		return p.host.newProxy(t, provider{host: p.host}.received(given))
	}
	if p.link != nil && ref.Host != "" && ref.Host != p.link.PeerID() {
		return reflect.Value{}, fmt.Errorf("the object of class %s lives in a third host, to which this link doesn't lead", ref.Class)
	}
	return p.host.newProxy(t, p.received(*ref))
}

// ownInstance is the instance that a reference to one of this host's objects
// stands for.
func (p provider) ownInstance(ref *value.Ref, c *class) (reflect.Value, error) {
	x, done, err := p.objects().use(ref.ID)
	if err != nil {
		return reflect.Value{}, err
	}
	defer done()
	if p.link == nil && ref.Host == "" {
		defer p.host.local.take(ref.ID, 1) // it was given for this
	}
	if x.class != c {
		return reflect.Value{}, fmt.Errorf("an object of class %s is wanted", c.name)
	}
	return x.value, nil
}

// arguments makes a function's arguments of what has travelled.
func (f *function) arguments(c *call, a *bind.Args, in []reflect.Value) ([]reflect.Value, error) {
	if err := f.resultsCanTravel(c); err != nil {
		return nil, err
	}
	for i := range f.sig.Params {
		p := &f.sig.Params[i]
		if p.Stream != bind.NoStream {
			continue
		}
		v := a.Value(i)
		if p.Ref != "" {
			ref, _ := v.Interface().(*value.Ref)
			var err error
			if v, err = f.reference(c, p, ref); err != nil {
				return nil, hostErrorAs(exceptionBind, codes.InvalidArgument, "%s: argument %q: %v", pathName(c.path), p.Name, err)
			}
		}
		in = append(in, v)
	}
	return in, nil
}

// resultsCanTravel refuses a call whose results nobody could hold, before the
// function runs: its caller may make it again.
func (f *function) resultsCanTravel(c *call) error {
	for i := range f.sig.Results {
		if f.sig.Results[i].Ref != "" && !c.oneWay {
			_, err := c.host.objectsOf(c)
			return err
		}
	}
	return nil
}

func (f *function) reference(c *call, p *bind.Param, ref *value.Ref) (reflect.Value, error) {
	if ref == nil {
		return reflect.Zero(p.Go), nil
	}
	if _, err := c.host.objectsOf(c); err != nil {
		return reflect.Value{}, err
	}
	from := provider{host: c.host, link: c.link}
	if p.Callback == nil {
		return from.arrive(ref, p.Go)
	}
	if ref.Host != "" && from.link != nil {
		return from.ownCallback(ref, p)
	}
	r := &required{host: c.host, sig: p.Callback, path: callbackPath, cfg: c.host.config.call}
	codec, err := r.codecNamed(c.codec)
	if err != nil {
		return reflect.Value{}, err
	}
	r.codec = codec
	r.object = &handle{&reference{at: from, ref: *ref}}
	r.setResults(p.Go)
	c.lend(r.object.reference)
	return r.function(p.Go), nil
}

// ownCallback is the function of this host's that a caller sends back, as it is.
func (p provider) ownCallback(ref *value.Ref, param *bind.Param) (reflect.Value, error) {
	if ref.Host != p.host.id {
		return reflect.Value{}, errors.New("the function lives in a third host, to which this link doesn't lead")
	}
	x, done, err := p.objects().use(ref.ID)
	if err != nil {
		return reflect.Value{}, err
	}
	defer done()
	if x.function == nil {
		return reflect.Value{}, fmt.Errorf("an object of class %s, a function is wanted", x.class.name)
	}
	if t := x.function.fn.Type(); t != param.Go {
		return reflect.Value{}, fmt.Errorf("the function is this host's own, a %v, and a %v is wanted", t, param.Go)
	}
	return x.function.fn, nil
}

// lend notes a callback that a call has brought.
func (c *call) lend(r *reference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callbacks = append(c.callbacks, r)
}

// endCallbacks makes the callbacks of a call that has ended unusable, unless they
// are retained.
func (c *call) endCallbacks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retained {
		return
	}
	for _, r := range c.callbacks {
		r.released.Store(true)
	}
	c.callbacks = nil
}

// Retain keeps the functions that an exported function was given as arguments
// beyond its return. Ctx is the function's. They stay valid until release is called
// or the link ends. Without it they are valid until the function returns.
func Retain(ctx context.Context) (release func(), err error) {
	c, ok := grpc.ServerTransportStreamFromContext(ctx).(*call)
	if !ok || len(c.callbacks) == 0 {
		return nil, status.Error(codes.FailedPrecondition, "host: Retain: the context is not that of an exported function with callbacks")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.retained {
		c.retained = true
		for _, r := range c.callbacks {
			c.trailer = metadata.Join(c.trailer, metadata.Pairs(retainedKey, r.ref.ID))
		}
	}
	all := slices.Clone(c.callbacks)
	return sync.OnceFunc(func() { releaseCallbacks(all) }), nil
}

func releaseCallbacks(all []*reference) {
	var back []*carpv1.Released
	for _, r := range all {
		if r.released.CompareAndSwap(false, true) {
			back = append(back, &carpv1.Released{Id: r.ref.ID, Count: 1})
		}
	}
	if len(back) == 0 {
		return
	}
	at := all[0].at
	ctx, cancel := context.WithTimeout(at.host.ctx, releaseTimeout)
	defer cancel()
	if err := at.giveBack(ctx, back); err != nil {
		at.host.log.Debug("callbacks can't be given back", "err", err)
	}
}

// results makes what travels of what a function has returned.
func (f *function) results(c *call, results []reflect.Value) ([]reflect.Value, error) {
	var p *passing
	for i := range results {
		if f.sig.Results[i].Ref == "" {
			continue
		}
		if p == nil {
			if _, err := c.host.objectsOf(c); err != nil {
				return nil, err
			}
			p = newPassing(provider{host: c.host, link: c.link})
		}
		ref, err := p.depart(results[i])
		if err != nil {
			p.takeBack()
			if f.makes != nil {
				c.host.objects.discard(f.makes, results[i])
			}
			if _, ok := err.(*namedError); ok { //nolint:errorlint // as hold made it
				return nil, err
			}
			return nil, replyError(c.path, err)
		}
		results[i] = reflect.ValueOf(ref)
	}
	return results, nil
}

func (p *passing) takeBack() {
	for _, id := range p.given {
		p.held.take(id, 1)
	}
}

// callReferring is the body of a required function that deals in references, but
// not in streams.
func (r *required) callReferring(v *invocation, results []reflect.Value) error {
	defer v.cancel()
	to, err := r.provider()
	if err != nil {
		return callError(r.path, err)
	}
	p := newPassing(to)
	reply, trailer, err := r.exchange(v, p)
	p.settle(trailer, err)
	if err != nil {
		return err
	}
	return r.arrived(to, reply, results)
}

// provider is where a call with references goes: that has to be known before its
// arguments are encoded.
func (r *required) provider() (provider, error) {
	if r.object != nil {
		return r.object.at, r.object.usable(r.path)
	}
	return r.host.pickFor(r.demand, nil)
}

// exchange makes the call, and returns the results that have travelled.
func (r *required) exchange(v *invocation, p *passing) ([]reflect.Value, metadata.MD, error) {
	fail := func(err error) ([]reflect.Value, metadata.MD, error) {
		return nil, nil, callError(r.path, status.Error(codes.InvalidArgument, err.Error()))
	}
	codec, err := r.codecFor(v.opts)
	if err != nil {
		return fail(err)
	}
	values, err := p.values(r.sig, v.args)
	if err != nil {
		return nil, nil, callError(r.path, argumentError(err))
	}
	body, err := r.sig.EncodeArgs(nil, codec, values)
	if err != nil {
		return fail(err)
	}
	q := r.request(codec.Name(), body, v.opts)
	q.to = &p.to
	reply, trailer, err := r.host.invokeWithTrailer(v.ctx, &q)
	if err != nil {
		return nil, trailer, err
	}
	defer reply.Free()
	travelled := make([]reflect.Value, len(r.sig.Results))
	for i := range travelled {
		travelled[i] = reflect.New(r.sig.Results[i].Type).Elem()
	}
	if err := r.sig.DecodeResults(codec, reply.Data, travelled); err != nil {
		return nil, nil, sentError(r.path, status.Error(codes.Internal, err.Error()), nil)
	}
	return travelled, trailer, nil
}

// arrived stores results that have travelled.
func (r *required) arrived(from provider, travelled, results []reflect.Value) error {
	for i, v := range travelled {
		if r.sig.Results[i].Ref != "" {
			ref, _ := v.Interface().(*value.Ref)
			var err error
			if v, err = from.arrive(ref, r.sig.Results[i].Go); err != nil {
				return sentError(r.path, status.Errorf(codes.Internal, "result %d: %v", i, err), nil)
			}
		}
		results[i].Set(v)
	}
	return nil
}
