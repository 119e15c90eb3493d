package host

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// class is an exported class: how instances are told apart from other values.
type class struct {
	name string
	t    reflect.Type
}

// ExportClass exports a class: a constructor, and methods of what it makes.
//
//	h.ExportClass("Counter", func(start int) *Counter { return &Counter{start} })
//
// Constructor is a function as in [Host.Export] with one result, a pointer to a
// type with methods, and perhaps an error. Calling it, at /Counter/call, makes an
// object that stays in this host; the caller gets a reference, see [Object]. The
// methods, at /Counter/Add and so on, are called with the reference; which of them
// are exported is decided as for a value in Export, or by [WithAPI]. Functions of
// the class, without an object, are exported beside it: h.Export("Counter.Max", …).
//
// From then on, functions that are exported or required by this host may take and
// return pointers of this type, which travel as references; those that were exported
// before take it for a value, and so the class is refused. The same object has the same reference on one link. Inside of other values, in
// a list, a struct or an interface, and in streams they are refused: at the export where
// the type shows it, else by the call, before anything is sent.
//
// An object is let go when all its references have been released: explicitly, by
// the holder's garbage collection, or at the end of the link or session to whose
// holder it was given. So is one that is made for a caller who can't hold it any more. If it is an [io.Closer], Close is called then, once, and
// after the methods that run on it. Peers can't call it.
func (h *Host) ExportClass(name string, constructor any, opts ...ExportOption) (*Exported, error) {
	e, err := h.exportClass(name, reflect.ValueOf(constructor), opts)
	if err != nil {
		return nil, fmt.Errorf("host %q: export the class %q: %w", h.label, name, err)
	}
	return e, nil
}

// WithAPI exports only the methods of a class that an interface lists, and all of
// them.
func WithAPI[API any]() ExportOption {
	return exportOption(func(c *exportConfig) { c.api = reflect.TypeFor[API]() })
}

func (h *Host) exportClass(name string, constructor reflect.Value, opts []ExportOption) (*Exported, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if !constructor.IsValid() || constructor.Kind() != reflect.Func || constructor.IsNil() {
		return nil, errors.New("there is no constructor: a function that returns the objects")
	}
	t := constructor.Type()
	n := t.NumOut()
	if n > 0 && t.Out(n-1) == errorType {
		n--
	}
	if n != 1 || t.Out(0).Kind() != reflect.Pointer || t.Out(0).NumMethod() == 0 || isProxy(t.Out(0)) {
		return nil, fmt.Errorf("the constructor %v doesn't return one pointer to a type with methods", t)
	}
	var cfg exportConfig
	for _, o := range opts {
		o.applyExport(&cfg)
	}
	if other := h.exports.takes(t.Out(0)); other != "" {
		return nil, fmt.Errorf("%s is exported, and has %v for a value that is copied: export the class before it", other, t.Out(0))
	}
	c := &class{name: name, t: t.Out(0)}
	former, loaded := h.classes.LoadOrStore(c.t, c)
	if loaded {
		if other := former.(*class); other.name != name || !cfg.replace {
			return nil, fmt.Errorf("%v is the class %q already", c.t, other.name)
		}
		c = former.(*class)
	}
	e, err := h.exportInstances(c, constructor, &cfg)
	if err != nil && !loaded {
		h.classes.CompareAndDelete(c.t, c)
	}
	return e, err
}

func (h *Host) exportInstances(c *class, constructor reflect.Value, cfg *exportConfig) (*Exported, error) {
	sig, err := h.parser().Exported(constructor.Type(), cfg.params...)
	if err != nil {
		return nil, fmt.Errorf("the constructor %v: %w", constructor.Type(), err)
	}
	e := &Exported{Name: c.name}
	methods := h.methods(reflect.Zero(c.t), cfg.api, cfg, e)
	if cfg.api != nil && (cfg.api.Kind() != reflect.Interface || len(methods) < cfg.api.NumMethod()) {
		return nil, fmt.Errorf("not all methods of %v can be exported%s", cfg.api, e.why(""))
	}
	for name := range cfg.methodParams {
		if methods[name] == nil {
			return nil, fmt.Errorf("parameters are named for the method %s, which isn't exported%s", name, e.why(name))
		}
	}
	for m, ep := range methods {
		f := ep.(*function)
		f.recv = nil
		methods[m] = &instanceMethod{function: f, class: c}
	}
	if methods[functionMethod] != nil {
		return nil, fmt.Errorf("the method %s has the name of the constructor", functionMethod)
	}
	methods[functionMethod] = &function{host: h, sig: sig, fn: constructor, makes: c}
	return e, h.exports.add(e, &service{
		name: c.name, kind: carpv1.Export_KIND_CLASS, version: cfg.version, metadata: maps.Clone(cfg.metadata),
		methods: methods,
	}, cfg.replace)
}

// parser reads the signatures of functions.
func (h *Host) parser() bind.Parser {
	return bind.Parser{Ref: func(t reflect.Type) string {
		if c := h.classOf(t); c != nil {
			return "class " + c.name
		}
		if isProxy(t) {
			return "ref"
		}
		return ""
	}}
}

func (h *Host) classOf(t reflect.Type) *class {
	if t.Kind() != reflect.Pointer {
		return nil
	}
	c, _ := h.classes.Load(t)
	found, _ := c.(*class)
	return found
}

// instanceMethod is the endpoint of a method of an object.
type instanceMethod struct {
	*function
	class *class
}

var _ endpoint = (*instanceMethod)(nil)

func (m *instanceMethod) announce(name string) *carpv1.Method {
	a := m.function.announce(name)
	a.Instance = true
	return a
}

func (m *instanceMethod) serve(c *call) error {
	if c.instance == "" {
		return hostError(codes.InvalidArgument, "%s is a method of an object, and the call names none (metadata %s)",
			pathName(c.path), instanceKey)
	}
	o, err := c.use()
	if err != nil {
		return err
	}
	defer c.finish()
	if o.class != m.class {
		return hostError(codes.NotFound, "%s: the object is not of this class", pathName(c.path))
	}
	c.recv = []reflect.Value{o.value}
	return m.function.serve(c)
}

// use finds the object that the call names. It stays until finish.
func (c *call) use() (*object, error) {
	t, err := c.host.objectsOf(c)
	if err != nil {
		return nil, err
	}
	o, done, err := t.use(c.instance)
	if err != nil {
		return nil, hostErrorAs(exceptionReleased, codes.NotFound, "%s: %v", pathName(c.path), err)
	}
	c.done = done
	return o, nil
}

// finish lets the object go, unless a function that was called one-way has taken
// it over.
func (c *call) finish() {
	if c.done != nil {
		c.done()
	}
}

// callbackPath is where functions that were passed as arguments are called.
const callbackPath = "/carp.v1.Callback/call"

// callbacks is the endpoint of all of them.
type callbacks struct{}

var _ endpoint = callbacks{}

func (callbacks) announce(name string) *carpv1.Method { return &carpv1.Method{Name: name} }

func (callbacks) serve(c *call) error {
	o, err := c.use()
	if err != nil {
		return err
	}
	defer c.finish()
	if o.function == nil {
		return hostErrorAs(exceptionReleased, codes.NotFound, "the id is not that of a callback")
	}
	return o.function.serve(c)
}

// has tells whether the function takes or returns values of a type as they are.
func (f *function) has(t reflect.Type) bool {
	return slices.ContainsFunc(f.sig.Params, func(p bind.Param) bool { return p.Type == t }) ||
		slices.ContainsFunc(f.sig.Results, func(r bind.Result) bool { return r.Type == t })
}
