package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// Require waits until this host or a linked one exports name, and returns a
// function that calls it:
//
//	add, err := host.Require[func(context.Context, int, int) (int, error)](ctx, h, "Calculator.Add")
//	sum, err := add(ctx, 1, 2)
//
// F is a function type that ends with an error. If it starts with a context,
// that bounds each call and carries metadata (metadata.AppendToOutgoingContext);
// otherwise [WithTimeout] does. If it ends with ...grpc.CallOption, those are
// for the call. The other parameters and results are as in [Host.Export]; a
// single struct that embeds [Params] is the list of arguments. If F has no
// results, what the function returns is dropped. If its only result is a
// *[Future], calling it starts a call and doesn't wait.
//
// F may be a struct whose exported fields are such functions, and name a service.
// Each field is the method of its name, or of that in a tag `carp:"name"`:
//
//	calc, err := host.Require[struct {
//		Add    func(context.Context, int, int) (int, error)
//		Divide func(context.Context, float64, float64) (float64, error)
//	}](ctx, h, "Calculator")
//
// Require waits as long as ctx allows. Its error then says what it waited for,
// which hosts were linked, and which of them export it with a signature that
// doesn't fit; of a struct, for all methods at once.
//
// The function is bound to the name and not to a host: each call goes to this
// host if it exports the name, or else to one of the hosts that do; [WithPicker]
// chooses. With none it fails with the code Unavailable. Errors of calls are of
// type [*Error]. Any number of goroutines may call the function at a time; no
// order is promised between calls.
func Require[F any](ctx context.Context, h *Host, name string, opts ...CallOption) (F, error) {
	var required F
	err := h.requireInto(ctx, name, reflect.ValueOf(&required).Elem(), opts)
	if err != nil {
		var zero F
		return zero, fmt.Errorf("host %q: require %q: %w", h.label, name, err)
	}
	return required, nil
}

func (h *Host) requireInto(ctx context.Context, name string, into reflect.Value, opts []CallOption) error {
	if into.Kind() == reflect.Struct {
		return h.requireStruct(ctx, name, into, opts)
	}
	r, err := h.newRequired(name, into.Type(), opts)
	if err != nil {
		return err
	}
	if err := h.await(ctx, r.demand); err != nil {
		return err
	}
	into.Set(r.function(into.Type()))
	return nil
}

// requireStruct fills in the functions of a struct, all of them or none.
func (h *Host) requireStruct(ctx context.Context, service string, into reflect.Value, opts []CallOption) error {
	var all []*required
	var fields []int
	var errs []error
	t := into.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		method := f.Name
		if tag := f.Tag.Get("carp"); tag != "" {
			method = tag
		}
		r, err := h.newRequired(service+"."+method, f.Type, opts)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %s: %w", f.Name, err))
			continue
		}
		all, fields = append(all, r), append(fields, i)
	}
	if len(all) == 0 && len(errs) == 0 {
		return fmt.Errorf("%v has no exported fields to fill in", t)
	}
	if len(errs) == 0 {
		for _, r := range all {
			if err := h.await(ctx, r.demand); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", pathName(r.path), err))
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for i, r := range all {
		into.Field(fields[i]).Set(r.function(t.Field(fields[i]).Type))
	}
	return nil
}

// required is the plan of a required function: what can be known before a call.
type required struct {
	host   *Host
	sig    *bind.Signature
	path   string
	demand *demand
	cfg    callConfig
	codec  args.Codec
	blank  []reflect.Value // all results as zero values, the error included
	future reflect.Type    // what is returned, if it is a future of these
	object *handle         // whose method it is, or nil
}

func (h *Host) newRequired(name string, t reflect.Type, opts []CallOption) (*required, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	plain, future := withoutFuture(t)
	sig, err := h.parser().Required(plain)
	if err != nil {
		return nil, fmt.Errorf("%v can't be required: %w", t, err)
	}
	cfg, err := h.callConfig(opts)
	if err != nil {
		return nil, err
	}
	r := &required{host: h, sig: sig, path: joinPath(splitName(name)), cfg: cfg, future: future}
	r.demand = newDemand(r.path)
	r.demand.signature, r.demand.picker = sig, cfg.picker
	if cfg.oneWay && (len(sig.Results) > 0 || sig.Follows()) {
		return nil, fmt.Errorf("%v can't be called one-way: nothing comes back of such a call, and nothing follows it", t)
	}
	if r.codec, err = r.codecNamed(cfg.codec); err != nil {
		return nil, err
	}
	r.setResults(plain)
	return r, nil
}

// setResults says what a function of type t returns.
func (r *required) setResults(t reflect.Type) {
	for i := range t.NumOut() {
		r.blank = append(r.blank, reflect.Zero(t.Out(i)))
	}
}

func (r *required) codecNamed(name string) (args.Codec, error) {
	if c := dynamicCodec(name); c != nil {
		return c, nil
	}
	if name != protoCodec {
		return nil, fmt.Errorf("the codec %q is not known; known are %s", name, functionCodecs)
	}
	return typedCodec(r.path, r.sig)
}

func (h *Host) callConfig(opts []CallOption) (callConfig, error) {
	cfg := h.config.call
	for _, o := range opts {
		o.applyCall(&cfg)
	}
	return cfg, cfg.check()
}

func (r *required) function(t reflect.Type) reflect.Value {
	if r.future != nil {
		return reflect.MakeFunc(t, r.start)
	}
	return reflect.MakeFunc(t, r.call)
}

// An invocation is one call of a required function.
type invocation struct {
	ctx    context.Context
	cancel context.CancelFunc
	args   []reflect.Value
	opts   []grpc.CallOption

	request request
	room    [smallBody]byte  // for the encoded arguments
	results [2]reflect.Value // room for what is returned, the error included
}

// begin takes apart what a required function was called with.
func (r *required) begin(in []reflect.Value) *invocation {
	v := &invocation{ctx: context.Background(), cancel: func() {}, args: in}
	if r.sig.Context {
		v.ctx, v.args = in[0].Interface().(context.Context), in[1:]
	} else {
		v.ctx, v.cancel = context.WithTimeout(v.ctx, r.cfg.timeout)
	}
	if r.sig.CallOptions {
		last := len(v.args) - 1
		v.opts, v.args = v.args[last].Interface().([]grpc.CallOption), v.args[:last]
	}
	return v
}

// call is the body of a required function.
func (r *required) call(in []reflect.Value) []reflect.Value {
	v := r.begin(in)
	out := append(v.results[:0], r.blank...)
	for i := range r.sig.Results {
		out[i] = reflect.New(r.blank[i].Type()).Elem()
	}
	if !r.sig.Err { // a stream tells its errors itself
		_ = r.callStreaming(v, out)
		return out
	}
	last := len(out) - 1
	if err := r.invoke(v, out[:last]); err != nil {
		copy(out, r.blank) // a reply that doesn't fit may have set some
		out[last] = errorValue(err)
	}
	runtime.KeepAlive(r.object) // the reference is not garbage before
	return out
}

func (r *required) invoke(v *invocation, results []reflect.Value) error {
	switch {
	case r.sig.Stream != bind.NoStream || r.sig.TakesStream():
		return r.callStreaming(v, results)
	case r.sig.Refers():
		return r.callReferring(v, results)
	}
	defer v.cancel()
	if r.object != nil {
		if err := r.object.usable(r.path); err != nil {
			return err
		}
	}
	codec, err := r.codecFor(v.opts)
	if err != nil {
		return callError(r.path, status.Error(codes.InvalidArgument, err.Error()))
	}
	body, err := r.sig.EncodeArgs(v.room[:0], codec, v.args)
	if err != nil {
		return callError(r.path, status.Error(codes.InvalidArgument, err.Error()))
	}
	v.request = r.request(codec.Name(), body, v.opts)
	reply, err := r.host.invoke(v.ctx, &v.request)
	if err != nil {
		return err
	}
	defer reply.Free()
	if err := r.sig.DecodeResults(codec, reply.Data, results); err != nil {
		return sentError(r.path, status.Error(codes.Internal, err.Error()), nil)
	}
	return nil
}

func (r *required) request(codec string, body []byte, opts []grpc.CallOption) request {
	q := request{path: r.path, codec: codec, body: body, opts: opts, demand: r.demand, oneWay: r.cfg.oneWay, cfg: &r.cfg}
	if r.object != nil {
		q.instance, q.to = r.object.ref.ID, &r.object.at
	}
	return q
}

// codecFor is the codec of one call: its options may name another one.
func (r *required) codecFor(opts []grpc.CallOption) (args.Codec, error) {
	for _, o := range opts {
		if sub, ok := o.(grpc.ContentSubtypeCallOption); ok && sub.ContentSubtype != r.codec.Name() {
			return r.codecNamed(sub.ContentSubtype)
		}
	}
	return r.codec, nil
}

// await waits until there is a provider.
func (h *Host) await(ctx context.Context, d *demand) error {
	for {
		changed, stop := h.peers.watch(d.service)
		var again <-chan time.Time
		if h.provided(d) {
			if h.unfitProxies(d) == "" {
				stop()
				return nil
			}
			again = time.After(impatience) // the class may be another service
		}
		select {
		case <-changed:
		case <-again:
			stop()
		case <-h.ctx.Done():
			stop()
			return ErrClosed
		case <-ctx.Done():
			stop()
			return h.notProvided(ctx, d)
		}
	}
}

// notProvided says what was waited for in vain, and what there was.
func (h *Host) notProvided(ctx context.Context, d *demand) error {
	what := "no host exports it"
	offers := h.peers.find(d.service)
	if unfit := h.unfit(d); unfit != "" {
		what = fmt.Sprintf("it is wanted as %s; %s", d.signature.Canonical(), unfit)
	} else if all, _ := h.providers(d, nil); len(all) > 0 && !h.provided(d) {
		what = labels(all) + " export it, but the policy chose none of them"
	} else if unfit := h.unfitProxies(d); unfit != "" {
		what = unfit
	} else if len(offers) > 0 || h.exports.has(d.service) {
		what = fmt.Sprintf("%s is exported, without the method %s", d.service, d.method)
	} else if refused := h.refusedBy(d.service); refused != "" {
		what = refused
	}
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("timed out waiting for it: %s; %s: %w", what, h.peers.describe(), err)
	}
	return fmt.Errorf("gave up waiting for it: %s; %s: %w", what, h.peers.describe(), err)
}
