package synth

import (
	"fmt"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Method is a method with messages for its arguments and results. It is a codec
// for them, and safe for concurrent use.
type Method struct {
	function          Function
	request, response *message

	// own says that the function takes one message and returns one, which are
	// then the bodies themselves.
	own     bool
	in, out *single // if own

	params map[string]*field // the fields of request by the names of parameters
}

var _ args.Codec = (*Method)(nil)

// index makes the map.
func (m *Method) index() {
	m.params = make(map[string]*field, len(m.request.fields))
	for _, f := range m.request.fields {
		m.params[f.jsonName] = f
	}
}

// messageNames returns the full names of the request and the response.
func (m *Method) messageNames(pkg string) (in, out string) {
	if m.own {
		return m.in.message, m.out.message
	}
	return pkg + "." + m.request.name, pkg + "." + m.response.name
}

// Own reports whether the function takes one protobuf message and returns one, so
// that its bodies are these messages, as those of a generated service are.
func (m *Method) Own() bool { return m.own }

// Name returns "proto".
func (*Method) Name() string { return "proto" }

// field returns the field that a piece belongs to. Those of the response are
// counted on from those of the request.
func (m *Method) field(param int) *field {
	if n := len(m.request.fields); param >= n {
		return m.response.fields[param-n]
	}
	return m.request.fields[param]
}

// Split implements [args.Codec]: body is a request. All its arguments are named.
// Lists and maps are always among them, since protobuf does not tell an empty one
// from none.
func (m *Method) Split(body []byte) (args.Arguments, error) {
	if m.own {
		return args.Arguments{Positional: []args.Raw{{Data: body}}}, nil
	}
	pieces, err := split(m.request, body, 0)
	if err != nil {
		return args.Arguments{}, fmt.Errorf("proto: %w", err)
	}
	there := pieces[:0]
	for i, p := range pieces {
		if p.Raw.Data != nil || m.request.fields[i].plural() {
			there = append(there, p)
		}
	}
	all := args.Arguments{Named: there}
	engine.Share(&all, len(body))
	return all, nil
}

// plural reports whether the field is a list or map.
func (f *field) plural() bool { return f.repeated || f.key != nil }

// split cuts a message into its fields. The piece of a field that is not there has
// nil data. The records of one field are usually next to each other, and then the
// piece is a part of body; else it is a copy.
func split(m *message, body []byte, first int) ([]args.NamedRaw, error) {
	pieces := make([]args.NamedRaw, len(m.fields))
	for i, f := range m.fields {
		pieces[i] = args.NamedRaw{Name: f.jsonName, Raw: args.Raw{Param: first + i}}
	}
	var few [8]int
	ends := few[:] // of the piece in body, or -1 for a copy
	if len(pieces) > len(few) {
		ends = make([]int, len(pieces))
	}
	var sizes []int // of all records of a field, once one is copied
	for at := 0; at < len(body); {
		r, err := next(body[at:])
		if err != nil {
			return nil, err
		}
		if m.byNumber(r.num) == nil {
			return nil, &value.Error{Got: fmt.Sprintf("field %d, which %s does not have", r.num, m.name)}
		}
		i := int(r.num - 1)
		p := &pieces[i].Raw.Data
		start := at
		at += r.size
		switch {
		case *p == nil:
			*p, ends[i] = body[start:at:at], at
		case ends[i] == start:
			start -= len(*p)
			*p, ends[i] = body[start:at:at], at
		default:
			if ends[i] != -1 {
				if sizes == nil {
					sizes = recordSizes(m, body)
				}
				*p, ends[i] = append(make([]byte, 0, sizes[i]), *p...), -1
			}
			*p = append(*p, body[start:at]...)
		}
	}
	return pieces, nil
}

// recordSizes are the sizes of the records of each field in a body, up to one that is
// none.
func recordSizes(m *message, body []byte) []int {
	sizes := make([]int, len(m.fields))
	for len(body) > 0 {
		r, err := next(body)
		if err != nil || m.byNumber(r.num) == nil {
			return sizes
		}
		sizes[r.num-1] += r.size
		body = body[r.size:]
	}
	return sizes
}

// Decode implements [args.Codec].
func (m *Method) Decode(raw args.Raw, into reflect.Value) error {
	if m.own {
		return m.decodeOwn(raw, into)
	}
	f := m.field(raw.Param)
	into.SetZero()
	d := newDecoder(len(raw.Data))
	if raw.Budget != nil {
		d.Budget = engine.Budget(*raw.Budget)
		defer func() { *raw.Budget = int(d.Budget) }()
	}
	for data := raw.Data; len(data) > 0; {
		r, err := next(data)
		if err != nil {
			return &value.Error{Want: f.typ.String(), Err: err}
		}
		data = data[r.size:]
		if err := f.merge(d, r, into); err != nil {
			return err
		}
	}
	return nil
}

// decodeOwn decodes a whole body, which is a message.
func (m *Method) decodeOwn(raw args.Raw, into reflect.Value) error {
	if ownMessage(into.Type()) == nil {
		return mismatch(into.Type(), "a message")
	}
	into.Set(reflect.New(into.Type().Elem()))
	return parseMessage(raw.Data, into.Interface().(proto.Message))
}

// appendOwn appends a whole body, which is the only value there is.
func (m *Method) appendOwn(dst []byte, values []reflect.Value, t reflect.Type) ([]byte, error) {
	if len(values) != 1 {
		return dst, &value.Error{Want: t.String(), Got: fmt.Sprintf("%d values", len(values))}
	}
	v, err := assignable(values[0], t)
	if err != nil {
		return dst, err
	}
	out, err := proto.MarshalOptions{}.MarshalAppend(dst, v.Interface().(proto.Message))
	if err != nil {
		return dst, &value.Error{Got: t.String(), Err: err}
	}
	return out, nil
}

// AppendArgs implements [args.Codec]: it appends a request.
func (m *Method) AppendArgs(dst []byte, positional []reflect.Value, named []args.Named) ([]byte, error) {
	if m.own {
		values := slices.Clone(positional)
		for _, arg := range named {
			values = append(values, arg.Value) // there is only one parameter
		}
		return m.appendOwn(dst, values, m.function.Params[0].Type)
	}
	if len(positional) > len(m.request.fields) {
		return dst, &value.Error{Got: fmt.Sprintf("%d arguments for %d parameters", len(positional), len(m.request.fields))}
	}
	given := make([]bool, len(m.request.fields))
	out := dst
	var err error
	for i, v := range positional {
		f := m.request.fields[i]
		given[i] = true
		if out, err = f.appendArg(out, v); err != nil {
			return dst, engine.Within(engine.Key(f.jsonName), err)
		}
	}
	for _, arg := range named {
		f := m.params[arg.Name]
		if f == nil {
			return dst, &value.Error{Path: engine.Key(arg.Name), Got: "no such parameter"}
		}
		if given[f.num-1] {
			return dst, &value.Error{Path: engine.Key(arg.Name), Got: "an argument that is given twice"}
		}
		given[f.num-1] = true
		if out, err = f.appendArg(out, arg.Value); err != nil {
			return dst, engine.Within(engine.Key(arg.Name), err)
		}
	}
	return out, nil
}

// appendArg appends a field with a value of any type that can be assigned to that
// of the field.
func (f *field) appendArg(b []byte, v reflect.Value) ([]byte, error) {
	v, err := assignable(v, f.typ)
	if err != nil {
		return nil, err
	}
	return f.append(0, b, v)
}

// assignable returns v as a value of type t.
func assignable(v reflect.Value, t reflect.Type) (reflect.Value, error) {
	switch {
	case !v.IsValid():
		switch t.Kind() {
		case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
			return reflect.Zero(t), nil
		}
		return v, mismatch(t, "nil")
	case v.Type() == t:
		return v, nil
	case v.Type().AssignableTo(t):
		x := reflect.New(t).Elem()
		x.Set(v)
		return x, nil
	}
	if v.Kind() == t.Kind() && v.CanConvert(t) { // types of one kind: no value changes
		return v.Convert(t), nil
	}
	return v, mismatch(t, v.Type().String())
}

// AppendResults implements [args.Codec]: it appends a response.
func (m *Method) AppendResults(dst []byte, results []reflect.Value) ([]byte, error) {
	if m.own {
		return m.appendOwn(dst, results, m.function.Results[0])
	}
	if len(results) != len(m.response.fields) {
		return dst, &value.Error{Got: fmt.Sprintf("%d results of a function that has %d", len(results), len(m.response.fields))}
	}
	out := dst
	var err error
	for i, v := range results {
		f := m.response.fields[i]
		if out, err = f.appendArg(out, v); err != nil {
			return dst, engine.Within(engine.Key(f.jsonName), err)
		}
	}
	return out, nil
}

// SplitResults implements [args.Codec]: body is a response. A result that is
// missing is an error, unless its Go type can be nil.
func (m *Method) SplitResults(body []byte, n int) ([]args.Raw, error) {
	if m.own {
		return []args.Raw{{Data: body, Param: 1}}, nil
	}
	if n != len(m.response.fields) {
		return nil, fmt.Errorf("proto: %d results wanted of a function that has %d", n, len(m.response.fields))
	}
	pieces, err := split(m.response, body, len(m.request.fields))
	if err != nil {
		return nil, fmt.Errorf("proto: %w", err)
	}
	results := make([]args.Raw, n)
	for i, p := range pieces {
		if f := m.response.fields[i]; p.Raw.Data == nil && !f.plural() && !canBeNil(f.typ) {
			return nil, fmt.Errorf("proto: %w", &value.Error{Path: p.Name, Want: f.typ.String(), Got: "nothing"})
		}
		results[i] = p.Raw
	}
	engine.ShareResults(results, len(body))
	return results, nil
}

func canBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	default:
		return false
	}
}

// Append implements [args.Codec]: it appends an item that the function streams,
// which is a response.
func (m *Method) Append(dst []byte, v reflect.Value) ([]byte, error) {
	return m.AppendResults(dst, []reflect.Value{v})
}

// Check implements [args.Codec]: item is a response.
func (m *Method) Check(item []byte) (args.Raw, error) {
	raws, err := m.SplitResults(item, 1)
	if err != nil {
		return args.Raw{}, err
	}
	return raws[0], nil
}

// ClientItems returns a codec that differs from m in Append and Check: they are for
// what the caller streams, which is requests with only that parameter.
func (m *Method) ClientItems() args.Codec { return clientItems{m} }

type clientItems struct{ *Method }

func (m clientItems) Append(dst []byte, v reflect.Value) ([]byte, error) {
	if m.own {
		return m.AppendArgs(dst, []reflect.Value{v}, nil)
	}
	return m.AppendArgs(dst, nil, []args.Named{{Name: m.function.ItemParam, Value: v}})
}

func (m clientItems) Check(item []byte) (args.Raw, error) {
	all, err := m.Split(item)
	if err != nil {
		return args.Raw{}, err
	}
	if m.own {
		return all.Positional[0], nil
	}
	for _, arg := range all.Named {
		if arg.Name == m.function.ItemParam {
			return arg.Raw, nil
		}
	}
	return args.Raw{}, fmt.Errorf("proto: an item without %s", m.function.ItemParam)
}
