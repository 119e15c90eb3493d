package host

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/grpc"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// Params is embedded by a struct that lists the parameters of a function:
//
//	type AddArgs struct {
//		host.Params
//		A int `json:"a"`
//		B int `json:"b" carp:"optional"`
//	}
//
//	func Add(args AddArgs) int
//
// Callers see a function of a and b, not of one struct. A parameter may be left
// out if it is a pointer or has the tag carp:"optional".
type Params = bind.Fields

// Exported is the outcome of an export.
type Exported struct {
	// Name is the name that was given.
	Name string
	// Methods are the names of what can be called now, sorted:
	// "Calculator.Add", or "f" for a function.
	Methods []string
	// Skipped are the methods of a struct that are not exported.
	Skipped []Skipped

	paths []string // of Methods, in no particular order
}

// Skipped is a method that an export left out.
type Skipped struct {
	Method string // its Go name
	Reason string
}

// Export makes a Go function or the methods of a value callable by other hosts
// and by any gRPC client, under a name: identifiers joined by dots.
//
// A function f is called at /f/call; if its name has a dot, the part behind the
// last one is the method: Calculator.Add is called at /Calculator/Add. Legal is
//
//	func([context.Context,] parameters…) ([results…] [, error])
//
// where parameters, of which the last may be variadic, and results are of types
// that have a form on the wire: booleans, numbers but complex ones, strings,
// byte slices, time.Time, the types of package codecs/value, protobuf messages,
// types that marshal themselves (value.Encoder and value.Decoder, or
// encoding.TextMarshaler and TextUnmarshaler), and slices, arrays, maps, structs
// and pointers made of them; and any, for whatever a caller sends. There may be
// no more than 64 parameters. Besides, legal are
//
//   - as the only result iter.Seq[T], iter.Seq2[T, error] or <-chan T: a stream of
//     such values to the caller;
//   - as the last parameter iter.Seq[T] or iter.Seq2[T, error]: a stream from it;
//   - as a parameter a function that ends with an error: a callback;
//   - as parameters and results pointers to classes of this host
//     ([Host.ExportClass]), and to structs that embed [Object].
//
// Everything else is refused with the reason, before any call.
//
// Any other value is exported with its methods, those of a pointer receiver too
// if v is a pointer: Add is called at /Name/Add. Methods with other signatures,
// methods that come from an embedded type of another package, and those that Go
// calls by convention (Close, String, MarshalText and the like) are left out;
// [Exported] lists them. It is an error if nothing is left.
//
// Names are taken once on a host: a path that is served already is an error, and
// nothing is exported then, unless [WithReplace] says otherwise. Linked hosts are
// told at once.
//
// Functions are called by many goroutines at a time. The context that they get
// ends with the call's deadline, the caller's interest in it, or the connection.
func (h *Host) Export(name string, v any, opts ...ExportOption) (*Exported, error) {
	e, err := h.export(name, v, opts)
	if err != nil {
		return nil, fmt.Errorf("host %q: export %q: %w", h.label, name, err)
	}
	return e, nil
}

func (h *Host) export(name string, v any, opts []ExportOption) (*Exported, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var cfg exportConfig
	for _, o := range opts {
		o.applyExport(&cfg)
	}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() || isNil(rv) {
		return nil, errors.New("there is nothing to call in nil")
	}
	if rv.Kind() == reflect.Func {
		return h.exportFunction(name, rv, &cfg)
	}
	return h.exportMethods(name, rv, nil, &cfg)
}

// ExportAs exports the methods of v that API lists, an interface type, and no
// others:
//
//	host.ExportAs[interface{ Add(a, b int) int }](h, "Calculator", calc)
//
// It is the form of [Host.Export] for values with methods in which nothing is
// exported by mistake, now or when a method is added. All methods of API are
// exported, those that Go calls by convention too; it is an error if one can't be.
func ExportAs[API any](h *Host, name string, v API, opts ...ExportOption) (*Exported, error) {
	e, err := h.exportAs(name, reflect.TypeFor[API](), v, opts)
	if err != nil {
		return nil, fmt.Errorf("host %q: export %q: %w", h.label, name, err)
	}
	return e, nil
}

func (h *Host) exportAs(name string, api reflect.Type, v any, opts []ExportOption) (*Exported, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if api.Kind() != reflect.Interface || api.NumMethod() == 0 {
		return nil, fmt.Errorf("%v is no interface with methods, which says what is exported", api)
	}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() || isNil(rv) {
		return nil, errors.New("there is nothing to call in nil")
	}
	var cfg exportConfig
	for _, o := range opts {
		o.applyExport(&cfg)
	}
	return h.exportMethods(name, rv, api, &cfg)
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Func, reflect.Pointer, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	}
	return false
}

func (h *Host) exportFunction(name string, fn reflect.Value, cfg *exportConfig) (*Exported, error) {
	sig, err := h.parser().Exported(fn.Type(), cfg.params...)
	if err != nil {
		return nil, fmt.Errorf("%v can't be exported: %w", fn.Type(), err)
	}
	if len(cfg.methodParams) > 0 {
		return nil, errors.New("WithMethodParams names the parameters of methods; a function has WithParams")
	}
	serviceName, method := splitName(name)
	kind := carpv1.Export_KIND_SERVICE
	if serviceName == name {
		kind = carpv1.Export_KIND_FUNCTION
	}
	e := &Exported{Name: name}
	f := &function{host: h, sig: sig, fn: fn}
	return e, h.exports.add(e, &service{
		name: serviceName, kind: kind, version: cfg.version, metadata: maps.Clone(cfg.metadata),
		methods: map[string]endpoint{method: f}, idempotent: cfg.idempotentOf(method),
	}, cfg.replace)
}

// exportMethods exports the methods of a value; those of an interface only, all of
// them, if api is one.
func (h *Host) exportMethods(name string, v reflect.Value, api reflect.Type, cfg *exportConfig) (*Exported, error) {
	if len(cfg.params) > 0 {
		return nil, errors.New("WithParams names the parameters of a function; a method has WithMethodParams")
	}
	e := &Exported{Name: name}
	methods := h.methods(v, api, cfg, e)
	if api != nil && len(methods) < api.NumMethod() {
		return nil, fmt.Errorf("not all methods of %v can be exported%s", api, e.why(""))
	}
	for name := range cfg.methodParams {
		if methods[name] == nil {
			return nil, fmt.Errorf("parameters are named for the method %s, which isn't exported%s", name, e.why(name))
		}
	}
	if len(methods) == 0 {
		return nil, fmt.Errorf("%v has no method that can be exported%s", v.Type(), e.why(""))
	}
	return e, h.exports.add(e, &service{
		name: name, kind: carpv1.Export_KIND_SERVICE, version: cfg.version, metadata: maps.Clone(cfg.metadata),
		methods: methods, idempotent: cfg.idempotentOf(slices.Collect(maps.Keys(methods))...),
	}, cfg.replace)
}

// methods makes endpoints of a value's methods, and lists in e those that are left
// out.
func (h *Host) methods(v reflect.Value, api reflect.Type, cfg *exportConfig, e *Exported) map[string]endpoint {
	methods := make(map[string]endpoint)
	skip := func(name, reason string) { e.Skipped = append(e.Skipped, Skipped{Method: name, Reason: reason}) }
	for _, m := range methodsOf(v.Type()) {
		if api != nil {
			if _, listed := api.MethodByName(m.Name); !listed {
				skip(m.Name, fmt.Sprintf("%v doesn't list it", api))
				continue
			}
		} else if reason := excluded(v.Type(), m); reason != "" {
			skip(m.Name, reason)
			continue
		}
		f, err := h.method(v, m, cfg)
		if err != nil {
			skip(m.Name, err.Error())
			continue
		}
		methods[m.Name] = f
	}
	return methods
}

// why lists the reasons for which methods were left out, all or one.
func (e *Exported) why(method string) string {
	var text strings.Builder
	for _, s := range e.Skipped {
		if method == "" || s.Method == method {
			fmt.Fprintf(&text, "; %s: %s", s.Method, s.Reason)
		}
	}
	return text.String()
}

func (h *Host) method(v reflect.Value, m reflect.Method, cfg *exportConfig) (*function, error) {
	sig, err := h.parser().Exported(v.Method(m.Index).Type(), cfg.methodParams[m.Name]...)
	if err != nil {
		return nil, err
	}
	// The method expression with the receiver as its first argument: reflect
	// calls it faster than a method value.
	return &function{host: h, sig: sig, fn: m.Func, recv: []reflect.Value{v}}, nil
}

// Unexport takes back what was exported under a name. Calls that are running end
// as they would have. It is an error if there is nothing of that name.
func (h *Host) Unexport(name string) error {
	if err := h.exports.remove(name); err != nil {
		return fmt.Errorf("host %q: unexport %q: %w", h.label, name, err)
	}
	h.classes.Range(func(t, c any) bool {
		if c.(*class).name == name {
			h.classes.Delete(t)
		}
		return true
	})
	return nil
}

// ExportService exports a service that was generated from a .proto file, as
// RegisterXServer(h, impl) does, and returns what RegisterXServer can't: an
// error, if the name is taken or impl isn't an implementation.
func (h *Host) ExportService(desc *grpc.ServiceDesc, impl any) error {
	return h.exportService(desc, impl, false)
}

func (h *Host) exportService(desc *grpc.ServiceDesc, impl any, internal bool) error {
	methods, err := endpoints(desc, impl, internal)
	if err == nil {
		err = h.exports.add(&Exported{Name: desc.ServiceName}, &service{
			name: desc.ServiceName, kind: carpv1.Export_KIND_GRPC, methods: methods,
			internal: internal, desc: desc,
		}, false)
	}
	if err != nil {
		return fmt.Errorf("host %q: export %q: %w", h.label, desc.ServiceName, err)
	}
	return nil
}

// RegisterService implements [grpc.ServiceRegistrar]: RegisterXServer(h, impl)
// exports a generated service, at any time. Since it can't return an error, a
// service that can't be exported is logged, and the next Listen, Serve or
// Connect returns the error. [Host.ExportService] returns it at once.
func (h *Host) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if err := h.ExportService(desc, impl); err != nil {
		h.log.Error("a generated service can't be exported", "err", err)
		h.mu.Lock()
		h.registerErr = errors.Join(h.registerErr, err)
		h.mu.Unlock()
	}
}

// GetServiceInfo lists the services that have a protobuf form, for gRPC's
// reflection: generated ones, and those made from Go functions as far as protobuf
// can express these.
func (h *Host) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := make(map[string]grpc.ServiceInfo)
	for _, s := range h.exports.all() {
		if si, ok := s.serviceInfo(); ok {
			info[s.name] = si
		}
	}
	return info
}

// setMethods fills in the names of an export's methods.
func (e *Exported) setMethods(service string, methods map[string]endpoint) {
	for m := range methods {
		path := joinPath(service, m)
		e.paths = append(e.paths, path)
		e.Methods = append(e.Methods, pathName(path))
	}
	slices.Sort(e.Methods)
}
