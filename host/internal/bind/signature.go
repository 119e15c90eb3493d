package bind

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/grpc"
)

// MaxParams is the largest number of parameters that a function may have. It
// lets the set of arguments that have been seen fit in one word.
const MaxParams = 64

// Fields is embedded by a struct whose fields are the parameters of a call. The
// host package exports it under the name Params.
type Fields struct{}

var (
	contextType  = reflect.TypeFor[context.Context]()
	errorType    = reflect.TypeFor[error]()
	fieldsType   = reflect.TypeFor[Fields]()
	callOptsType = reflect.TypeFor[[]grpc.CallOption]()
)

// A Param is one argument that a caller gives.
type Param struct {
	// Name is what a keyword call says: given by the exporter, the name of a
	// field, or arg0, arg1 and so on.
	Name string
	// Type is the type of the value; for a variadic tail the slice.
	Type reflect.Type
	// Optional arguments may be left out and are then the zero value.
	Optional bool
	// index is where the argument is stored: in the struct of all arguments.
	index []int
}

// A Signature is a function's type as calls see it.
type Signature struct {
	// Params are the arguments in order.
	Params []Param
	// Results are the result types, without the trailing error.
	Results []reflect.Type
	// Context, Variadic and Err tell whether the function starts with a
	// context, ends with a variadic parameter and ends with an error result.
	Context, Variadic, Err bool
	// CallOptions tells that the variadic tail is ...grpc.CallOption, which
	// belongs to the caller and not to the arguments.
	CallOptions bool
	// Struct tells that the function has one parameter, a struct that embeds
	// Fields; Params are then its fields.
	Struct bool

	names  map[string]int
	storeT reflect.Type // the struct that holds all arguments of a call
}

// Exported reads the signature of a function that is to be called by peers.
// Names are the parameters' names, for Go keeps none: empty for arg0, arg1…, or
// one for each parameter; a name that ends in "?" may be left out by callers.
// The error says why a function has no form on the wire.
func Exported(t reflect.Type, names ...string) (*Signature, error) {
	s, err := parse(t, names)
	if err != nil {
		return nil, err
	}
	if s.CallOptions {
		return nil, errors.New("the last parameter is ...grpc.CallOption, which only a required function takes")
	}
	return s, nil
}

// Required reads the signature of a function through which a peer is called: it
// ends with an error, and may end with ...grpc.CallOption parameters.
func Required(t reflect.Type, names ...string) (*Signature, error) {
	s, err := parse(t, names)
	if err != nil {
		return nil, err
	}
	if !s.Err {
		return nil, errors.New("the last result is not an error; a call can always fail")
	}
	return s, nil
}

func parse(t reflect.Type, names []string) (*Signature, error) {
	if t == nil || t.Kind() != reflect.Func {
		return nil, fmt.Errorf("%v is not a function", t)
	}
	s := &Signature{Variadic: t.IsVariadic()}
	in := parameterTypes(t, s)
	if err := s.setParams(in, names); err != nil {
		return nil, err
	}
	if err := s.setResults(t); err != nil {
		return nil, err
	}
	return s, s.index()
}

// parameterTypes returns the types of the arguments proper and notes in s what
// stands around them.
func parameterTypes(t reflect.Type, s *Signature) []reflect.Type {
	var in []reflect.Type
	for i := range t.NumIn() {
		in = append(in, t.In(i))
	}
	if len(in) > 0 && in[0] == contextType {
		s.Context = true
		in = in[1:]
	}
	if s.Variadic && in[len(in)-1] == callOptsType {
		s.CallOptions, s.Variadic = true, false
		in = in[:len(in)-1]
	}
	return in
}

func (s *Signature) setParams(in []reflect.Type, names []string) error {
	if len(in) == 1 && isFieldsStruct(in[0]) && !s.Variadic {
		if len(names) > 0 {
			return fmt.Errorf("names are given for the parameters, but the fields of %v name them", in[0])
		}
		return s.setFields(in[0])
	}
	if len(names) > 0 && len(names) != len(in) {
		return fmt.Errorf("%d parameter names are given for %d parameters", len(names), len(in))
	}
	for i, t := range in {
		p := Param{Name: "arg" + strconv.Itoa(i), Type: t, index: []int{i}}
		if len(names) > 0 {
			p.Name, p.Optional = strings.CutSuffix(names[i], "?")
		}
		if t.Kind() == reflect.Pointer {
			p.Optional = true
		}
		if s.Variadic && i == len(in)-1 {
			p.Optional = true
		}
		if err := CheckType(t); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		s.Params = append(s.Params, p)
	}
	s.storeT = storeType(in)
	return nil
}

// setFields makes the exported fields of a struct the parameters.
func (s *Signature) setFields(t reflect.Type) error {
	s.Struct = true
	s.storeT = t
	for i := range t.NumField() {
		f := t.Field(i)
		name, skip := FieldName(f)
		if f.Type == fieldsType || skip {
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct && name == f.Name {
			return fmt.Errorf("%v embeds %v; a struct of parameters lists its fields itself", t, f.Type)
		}
		if err := CheckType(f.Type); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
		optional := f.Type.Kind() == reflect.Pointer || f.Tag.Get("carp") == "optional"
		s.Params = append(s.Params, Param{Name: name, Type: f.Type, Optional: optional, index: f.Index})
	}
	return nil
}

func isFieldsStruct(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type == fieldsType {
			return true
		}
	}
	return false
}

// FieldName is the name of a struct's field on the wire: its msgpack tag, else
// its json tag, else its name. Skip is true for fields that aren't carried.
func FieldName(f reflect.StructField) (name string, skip bool) {
	if !f.IsExported() {
		return "", true
	}
	for _, key := range [...]string{"msgpack", "json"} {
		name, _, _ := strings.Cut(f.Tag.Get(key), ",")
		if name == "-" {
			return "", true
		}
		if name != "" {
			return name, false
		}
	}
	return f.Name, false
}

// storeType is a struct with one field for each argument, so that a call
// allocates its arguments at once.
func storeType(in []reflect.Type) reflect.Type {
	fields := make([]reflect.StructField, len(in))
	for i, t := range in {
		fields[i] = reflect.StructField{Name: "A" + strconv.Itoa(i), Type: t}
	}
	return reflect.StructOf(fields)
}

func (s *Signature) setResults(t reflect.Type) error {
	n := t.NumOut()
	if n > 0 && t.Out(n-1) == errorType {
		s.Err = true
		n--
	}
	for i := range n {
		if err := CheckType(t.Out(i)); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		s.Results = append(s.Results, t.Out(i))
	}
	return nil
}

// index builds the table of names, and refuses names that couldn't be told
// apart or couldn't be said.
func (s *Signature) index() error {
	if len(s.Params) > MaxParams {
		return fmt.Errorf("%d parameters; at most %d are carried", len(s.Params), MaxParams)
	}
	s.names = make(map[string]int, len(s.Params))
	for i, p := range s.Params {
		if !s.Struct && !IsIdentifier(p.Name) {
			return fmt.Errorf("the parameter name %q is not an identifier", p.Name)
		}
		if _, dup := s.names[p.Name]; dup {
			return fmt.Errorf("two parameters are named %q", p.Name)
		}
		s.names[p.Name] = i
	}
	return nil
}

// IsIdentifier reports whether s is an ASCII identifier. Names become parts of
// HTTP/2 paths and of generated code in other languages, hence the narrow set.
func IsIdentifier(s string) bool {
	for i, r := range []byte(s) {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// String is the canonical text of a signature: parameter and result types as
// Go writes them, without names, context and error.
func (s *Signature) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, p := range s.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		if s.Variadic && i == len(s.Params)-1 {
			b.WriteString("..." + p.Type.Elem().String())
			continue
		}
		b.WriteString(p.Type.String())
	}
	b.WriteByte(')')
	for i, r := range s.Results {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + r.String())
	}
	return b.String()
}

// paramNames lists the names for error texts.
func (s *Signature) paramNames() string {
	if len(s.Params) == 0 {
		return "it takes none"
	}
	names := make([]string, len(s.Params))
	for i, p := range s.Params {
		names[i] = p.Name
	}
	return "it takes " + strings.Join(names, ", ")
}
