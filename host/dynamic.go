package host

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Kwargs are arguments by parameter name, for [Call].
type Kwargs map[string]any

// Call calls an exported function by name, with whatever arguments, and decodes
// what it returns into an R; into any, if nothing is known of it:
//
//	sum, err := host.Call[int](ctx, h, "Calculator.Add", 1, 2)
//	sum, err := host.Call[int](ctx, h, "Calculator.Add", 1, host.Kwargs{"b": 2})
//
// Arguments of type [Kwargs] are given by name. Arguments of type [CallOption]
// and [grpc.CallOption] are options of the call; those that hold for every call
// are better given to [New]. A function with several results returns a list of
// them.
//
// A reference to an object is taken as an *[Object], or as a struct with one. As
// any it is a [value.Ref], which says in which host the object lives and may be
// passed back to that one, but has no methods and lasts as long as the link.
//
// Call doesn't wait for a provider: with none it fails with the code
// Unavailable. Its errors are of type [*Error]. The codec must be one that
// carries values without knowing their types beforehand, which "proto" is not.
func Call[R any](ctx context.Context, h *Host, name string, arguments ...any) (R, error) {
	var result R
	err := h.callDynamic(ctx, name, arguments, reflect.ValueOf(&result).Elem())
	if err != nil {
		var zero R
		return zero, err
	}
	return result, nil
}

// Go is [Call] without waiting: it starts the call and returns a [Future] of its
// outcome. For a callback, see [Future.Then].
func Go[R any](ctx context.Context, h *Host, name string, arguments ...any) *Future[R] {
	f := newFuture[R]()
	go func() { f.end(Call[R](ctx, h, name, arguments...)) }()
	return f
}

// Post calls an exported function one-way, see [WithOneWay].
func Post(ctx context.Context, h *Host, name string, arguments ...any) error {
	return h.callDynamic(ctx, name, append(arguments[:len(arguments):len(arguments)], WithOneWay()), reflect.Value{})
}

// WithOneWay makes a call that returns when its arguments are bound and the callee
// has admitted it. The function runs on, with a context that doesn't end with the
// caller's but after the callee's [WithOneWayTimeout]; what it returns is dropped,
// and an error is told to the log and [Hooks] of its host. No order is promised
// among such calls. A callee that has too many of them answers ResourceExhausted.
func WithOneWay() CallOption {
	return callOption(func(c *callConfig) { c.oneWay = true })
}

type callOption func(*callConfig)

func (o callOption) applyCall(c *callConfig) { o(c) }

// dynamicCall is a call of a function of which nothing is known.
type dynamicCall struct {
	positional []reflect.Value
	named      []args.Named
	call       []CallOption
	grpc       []grpc.CallOption
}

func (d *dynamicCall) sort(arguments []any) {
	for _, a := range arguments {
		switch a := a.(type) {
		case Kwargs:
			for _, name := range slices.Sorted(maps.Keys(a)) {
				d.named = append(d.named, args.Named{Name: name, Value: reflect.ValueOf(a[name])})
			}
		case CallOption:
			d.call = append(d.call, a)
		case grpc.CallOption:
			d.grpc = append(d.grpc, a)
		default:
			d.positional = append(d.positional, reflect.ValueOf(a))
		}
	}
}

// dynamic is a dynamic call that is ready to be made.
type dynamic struct {
	request request
	codec   args.Codec
	passing *passing // references, or nil
}

// newDynamic prepares a call whose result, or values, are of type t, nil for none;
// of a method of an object if that isn't nil.
func (h *Host) newDynamic(name string, arguments []any, t reflect.Type, object *reference) (*dynamic, error) {
	path := joinPath(splitName(name))
	fail := func(err error) (*dynamic, error) {
		return nil, callError(path, status.Error(codes.InvalidArgument, err.Error()))
	}
	if err := checkName(name); err != nil {
		return fail(err)
	}
	if t != nil && !isProxy(t) {
		if err := h.parser().Check(t); err != nil {
			return fail(fmt.Errorf("the result: %w", err))
		}
	}
	var d dynamicCall
	d.sort(arguments)
	cfg, err := h.callConfig(d.call)
	if err != nil {
		return fail(err)
	}
	codec := dynamicCodec(cfg.codec)
	if codec == nil {
		return fail(fmt.Errorf("the codec %q needs the function's type; use Require, or another codec", cfg.codec))
	}
	demand := newDemand(path)
	demand.picker = cfg.picker
	dyn := &dynamic{codec: codec, request: request{
		path: path, codec: cfg.codec, opts: d.grpc, demand: demand, oneWay: cfg.oneWay, cfg: &cfg,
	}}
	if err := dyn.pass(h, &d, t, object); err != nil {
		return nil, callError(path, err)
	}
	d.each(func(v *reflect.Value) {
		if err == nil {
			err = h.parser().Carries(*v)
		}
	})
	if err == nil {
		dyn.request.body, err = codec.AppendArgs(nil, d.positional, d.named)
	}
	if err != nil {
		dyn.settle(nil, err)
		return fail(fmt.Errorf("the arguments: %w", err))
	}
	return dyn, nil
}

// pass decides where the call goes, if references are part of it, and puts them in
// the place of what they stand for.
func (d *dynamic) pass(h *Host, c *dynamicCall, t reflect.Type, object *reference) error {
	if object != nil {
		if err := object.usable(d.request.path); err != nil {
			return err
		}
		d.request.instance, d.request.to = object.ref.ID, &object.at
	}
	refers := t != nil && isProxy(t)
	c.each(func(v *reflect.Value) { refers = refers || h.refers(*v) })
	if !refers {
		return nil
	}
	if d.request.to == nil {
		to, err := h.pickFor(d.request.demand, nil)
		if err != nil {
			return err
		}
		d.request.to = &to
	}
	d.passing = newPassing(*d.request.to)
	var failed error
	c.each(func(v *reflect.Value) {
		if failed == nil && h.refers(*v) {
			*v, failed = d.passing.dynamic(*v)
		}
	})
	if failed != nil {
		d.settle(nil, failed)
		return argumentError(failed)
	}
	return nil
}

// each visits the arguments.
func (d *dynamicCall) each(do func(*reflect.Value)) {
	for i := range d.positional {
		do(&d.positional[i])
	}
	for i := range d.named {
		do(&d.named[i].Value)
	}
}

// settle is that of the references.
func (d *dynamic) settle(trailer metadata.MD, err error) {
	if d.passing != nil {
		d.passing.settle(trailer, err)
	}
}

func (h *Host) callDynamic(ctx context.Context, name string, arguments []any, result reflect.Value) error {
	var t reflect.Type
	if result.IsValid() {
		t = result.Type()
	}
	d, err := h.newDynamic(name, arguments, t, nil)
	if err != nil {
		return err
	}
	return d.call(ctx, h, result)
}

// call makes the call.
func (d *dynamic) call(ctx context.Context, h *Host, result reflect.Value) error {
	reply, trailer, err := h.invokeWithTrailer(ctx, &d.request)
	d.settle(trailer, err)
	if err != nil {
		return err
	}
	if d.request.oneWay {
		reply.Free()
		return nil
	}
	defer reply.Free()
	pieces, err := d.codec.SplitResults(reply.Data, 1)
	if err == nil {
		err = d.decode(pieces[0], result)
	}
	if err != nil {
		return sentError(d.request.path, status.Errorf(codes.Internal, "the result: %v", err), nil)
	}
	return nil
}

func (d *dynamic) decode(piece args.Raw, result reflect.Value) error {
	if !isProxy(result.Type()) {
		err := d.codec.Decode(piece, result)
		if l := d.request.at; l != nil && err == nil {
			placeRef(result, l.PeerID())
		}
		return err
	}
	var ref *value.Ref
	if err := d.codec.Decode(piece, reflect.ValueOf(&ref).Elem()); err != nil {
		return err
	}
	proxy, err := d.passing.to.arrive(ref, result.Type())
	if err == nil {
		result.Set(proxy)
	}
	return err
}

// placeRef has a reference that came as a value say where its object lives, which an
// empty host says only to those who got it first hand: other hosts that it is passed on to
// would take it for one of this host's.
func placeRef(result reflect.Value, from string) {
	if ref, ok := result.Interface().(value.Ref); ok && ref.Host == "" {
		ref.Host = from
		result.Set(reflect.ValueOf(ref))
	}
}
