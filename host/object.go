package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// An Object is a reference to an object of a class that a host exports with
// [Host.ExportClass]. It is embedded in a struct whose other fields are methods:
//
//	type Counter struct {
//		host.Object
//		Add func(context.Context, int) (int, error)
//	}
//
//	newCounter, err := host.Require[func(context.Context, int) (*Counter, error)](ctx, h, "Counter")
//	counter, err := newCounter(ctx, 5)
//	n, err := counter.Add(ctx, 1)
//	err = counter.Release(ctx)
//
// The fields are functions as in [Require], named as there. Functions that are
// required or exported may take and return *Counter, or *Object where nothing is
// known of the class; the zero value of these is no reference and travels as null.
// Require refuses a function that returns a *Counter if the class, as it is announced,
// lacks a method or has one with another signature, and names all of them. A class of
// which nothing is known may lack any; a method that it lacks fails when it is called.
//
// A reference is valid as long as the link over which it came. It may be passed
// back over that link, but not to other hosts.
type Object struct {
	handle *handle
}

// handle is what a program holds. When it is garbage the reference is given back.
type handle struct {
	*reference
}

// reference is one reference that was received, and is given back once.
type reference struct {
	at       provider // where the object is; its host makes the calls
	ref      value.Ref
	released atomic.Bool
}

// errReleased is the cause of the error of a call of an object that was released.
var errReleased = errors.New("the reference was released")

// Class is the name of the object's class.
func (o *Object) Class() string {
	if o.handle == nil {
		return ""
	}
	return o.handle.ref.Class
}

// ID is the object's id on the link.
func (o *Object) ID() string {
	if o.handle == nil {
		return ""
	}
	return o.handle.ref.ID
}

// Release gives the reference back. Calls of the object's methods, those that have
// not been answered too, may fail from then on. Releasing again, or after the end
// of the link, has no effect.
func (o *Object) Release(ctx context.Context) error {
	if o.handle == nil {
		return nil
	}
	return o.handle.release(ctx)
}

// CallMethod calls a method of an object as [Call] does a function.
func CallMethod[R any](ctx context.Context, o *Object, method string, arguments ...any) (R, error) {
	var result R
	if err := o.callDynamic(ctx, method, arguments, reflect.ValueOf(&result).Elem()); err != nil {
		var zero R
		return zero, err
	}
	return result, nil
}

func (o *Object) callDynamic(ctx context.Context, method string, arguments []any, result reflect.Value) error {
	if o.handle == nil {
		return callError("/Object/"+method, status.Error(codes.FailedPrecondition, "the zero Object refers to nothing"))
	}
	defer runtime.KeepAlive(o.handle)
	h := o.handle.at.host
	d, err := h.newDynamic(o.Class()+"."+method, arguments, result.Type(), o.handle.reference)
	if err != nil {
		return err
	}
	return d.call(ctx, h, result)
}

// received makes a handle of a reference that came from p.
func (p provider) received(ref value.Ref) *handle {
	h := &handle{&reference{at: p, ref: ref}}
	runtime.AddCleanup(h, func(r *reference) { r.at.host.spawn(r.collected) }, h.reference)
	return h
}

// releaseTimeout bounds giving back what has become garbage.
const releaseTimeout = 10 * time.Second

func (r *reference) collected() {
	ctx, cancel := context.WithTimeout(r.at.host.ctx, releaseTimeout)
	defer cancel()
	if err := r.release(ctx); err != nil {
		r.at.host.log.Debug("a reference can't be given back", "class", r.ref.Class, "err", err)
	}
}

func (r *reference) release(ctx context.Context) error {
	if !r.released.CompareAndSwap(false, true) {
		return nil
	}
	return r.at.giveBack(ctx, []*carpv1.Released{{Id: r.ref.ID, Count: 1}})
}

// giveBack tells the holder of objects that references are no longer held.
func (p provider) giveBack(ctx context.Context, all []*carpv1.Released) error {
	if p.link == nil {
		for _, r := range all {
			p.host.local.take(r.GetId(), r.GetCount())
		}
		return nil
	}
	body, err := proto.Marshal(&carpv1.ReleaseRequest{Objects: all})
	if err != nil {
		return err
	}
	r, err := p.call(ctx, &request{path: carpv1.Peer_Release_FullMethodName, codec: protoCodec, body: body})
	switch {
	case p.link.Err() != nil: // everything has been given back
	case err != nil:
		return sentError(carpv1.Peer_Release_FullMethodName, err, nil)
	}
	if err == nil {
		r.body.Free()
	}
	return nil
}

// usable returns why the object can't be called.
func (r *reference) usable(path string) error {
	if r.released.Load() {
		return callError(path, &releasedError{})
	}
	if l := r.at.link; l != nil && l.Err() != nil {
		return callError(path, l.explain(&link.LostError{Err: l.Err()}))
	}
	return nil
}

type releasedError struct{}

func (*releasedError) Error() string { return errReleased.Error() }
func (*releasedError) Unwrap() error { return errReleased }
func (*releasedError) GRPCStatus() *status.Status {
	return status.New(codes.FailedPrecondition, errReleased.Error())
}

// Release implements [carpv1.PeerServer].
func (s *peerServer) Release(ctx context.Context, req *carpv1.ReleaseRequest) (*carpv1.ReleaseResponse, error) {
	linkOf(ctx).give(req.GetObjects())
	return new(carpv1.ReleaseResponse), nil
}

// give takes back what the peer no longer holds.
func (l *Link) give(all []*carpv1.Released) {
	for _, r := range all {
		l.objects.take(r.GetId(), max(r.GetCount(), 1))
	}
}

var objectType = reflect.TypeFor[Object]()

// isProxy reports whether a type is *Object, or a pointer to a struct that embeds
// an Object.
func isProxy(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	if t.Elem() == objectType {
		return true
	}
	f, ok := t.Elem().FieldByName("Object")
	return ok && f.Anonymous && f.Type == objectType
}

// objectIn is the Object of a proxy.
func objectIn(proxy reflect.Value) *Object {
	if proxy.Type().Elem() == objectType {
		return proxy.Interface().(*Object)
	}
	return proxy.Elem().FieldByName("Object").Addr().Interface().(*Object)
}

// newProxy makes a proxy of type t for a reference.
func (h *Host) newProxy(t reflect.Type, handle *handle) (reflect.Value, error) {
	proxy := reflect.New(t.Elem())
	objectIn(proxy).handle = handle
	if t.Elem() == objectType {
		return proxy, nil
	}
	methods, err := h.proxyMethods(t.Elem(), handle.ref.Class)
	if err != nil {
		return reflect.Value{}, err
	}
	for _, m := range methods {
		proxy.Elem().FieldByIndex(m.field).Set(m.required.on(handle).function(m.t))
	}
	return proxy, nil
}

// proxyMethod is a field of a proxy, and what it calls.
type proxyMethod struct {
	field    []int
	t        reflect.Type
	required *required
}

type proxyKey struct {
	t     reflect.Type
	class string
}

// proxyMethods reads the fields of a proxy once for each class.
func (h *Host) proxyMethods(t reflect.Type, class string) ([]proxyMethod, error) {
	if known, ok := h.proxies.Load(proxyKey{t, class}); ok {
		return known.([]proxyMethod), nil
	}
	var all []proxyMethod
	var errs []error
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == objectType {
			continue
		}
		name := f.Name
		if tag := f.Tag.Get("carp"); tag != "" {
			name = tag
		}
		r, err := h.newRequired(class+"."+name, f.Type, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("field %s of %v: %w", f.Name, t, err))
			continue
		}
		all = append(all, proxyMethod{f.Index, f.Type, r})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	h.proxies.Store(proxyKey{t, class}, all)
	return all, nil
}

// on is the required function for one object.
func (r *required) on(h *handle) *required {
	bound := *r
	bound.object = h
	return &bound
}
