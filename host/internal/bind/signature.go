package bind

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/carp-rpc/carp-go/codecs/value"
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

// A Stream is how Go code sees many values of one type, one after the other.
type Stream int

// The forms of streams.
const (
	NoStream   Stream = iota
	SeqStream         // iter.Seq[T]
	ErrStream         // iter.Seq2[T, error]
	ChanStream        // <-chan T
)

// A Param is one argument that a caller gives.
type Param struct {
	// Name is what a keyword call says: given by the exporter, the name of a
	// field, or arg0, arg1 and so on.
	Name string
	// Type is the type of the value that travels: for a variadic tail the
	// slice, for a stream that of its items, for a reference [RefType].
	Type reflect.Type
	// Go is the type of the parameter in the function.
	Go reflect.Type
	// Optional arguments may be left out and are then the zero value.
	Optional bool
	// Stream tells that the caller sends many values. Only the last parameter
	// is one, and they are not among the arguments.
	Stream Stream
	// Ref is the canonical type of a parameter that travels as a reference, or
	// "". Callback is the signature of one that is a function.
	Ref      string
	Callback *Signature
	// index is where the argument is stored: in the struct of all arguments.
	index []int
}

// A Result is one value that a function returns.
type Result struct {
	// Type is the type of the value that travels, and Go that in the function,
	// as in [Param].
	Type, Go reflect.Type
	// Ref is the canonical type of a result that travels as a reference, or "".
	Ref string
}

// RefType is the type of references among arguments and results.
var RefType = reflect.TypeFor[*value.Ref]()

// A Signature is a function's type as calls see it.
type Signature struct {
	// Params are the arguments in order.
	Params []Param
	// Results are the results, without the trailing error.
	Results []Result
	// Stream tells that the function returns many values: its only result is
	// that of an item.
	Stream Stream
	// Context, Variadic and Err tell whether the function starts with a
	// context, ends with a variadic parameter and ends with an error result.
	Context, Variadic, Err bool
	// CallOptions tells that the variadic tail is ...grpc.CallOption, which
	// belongs to the caller and not to the arguments.
	CallOptions bool
	// Struct tells that the function has one parameter, a struct that embeds
	// Fields; Params are then its fields.
	Struct bool
	// Plain tells that what the function takes and returns is what travels:
	// there are no streams, callbacks and references.
	Plain bool

	// openParams and openResults tell that there are interfaces in them, whose
	// values might be what travels as a reference; refs says what does.
	openParams, openResults bool
	refs                    func(reflect.Type) string

	names     map[string]int
	storeT    reflect.Type // the struct that holds all arguments of a call
	spent     sync.Pool    // of *Args, for further calls
	canonical string
	hash      uint64
}

// A Parser reads signatures. Its zero value knows no references.
type Parser struct {
	// Ref returns the canonical name of a type whose values travel as
	// references, or "".
	Ref func(reflect.Type) string
}

// Exported is [Parser.Exported] without references.
func Exported(t reflect.Type, names ...string) (*Signature, error) {
	return Parser{}.Exported(t, names...)
}

// Required is [Parser.Required] without references.
func Required(t reflect.Type, names ...string) (*Signature, error) {
	return Parser{}.Required(t, names...)
}

// Exported reads the signature of a function that is to be called by peers.
// Names are the parameters' names, for Go keeps none: empty for arg0, arg1…, or
// one for each parameter; a name that ends in "?" may be left out by callers.
// The error says why a function has no form on the wire.
func (p Parser) Exported(t reflect.Type, names ...string) (*Signature, error) {
	r := reader{refs: p.Ref, exported: true}
	s, err := r.parse(t, names)
	if err != nil {
		return nil, err
	}
	if s.CallOptions {
		return nil, errors.New("the last parameter is ...grpc.CallOption, which only a required function takes")
	}
	return s, nil
}

// Required reads the signature of a function through which a peer is called: it
// ends with an error, or returns an iter.Seq2 that yields one, and may end with
// ...grpc.CallOption parameters.
func (p Parser) Required(t reflect.Type, names ...string) (*Signature, error) {
	r := reader{refs: p.Ref}
	s, err := r.parse(t, names)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Stream != NoStream && s.Stream != ErrStream:
		return nil, fmt.Errorf("the result is a %v; a stream can break off, which only an iter.Seq2[T, error] tells", t.Out(0))
	case !s.Err && s.Stream == NoStream:
		return nil, errors.New("the last result is not an error; a call can always fail")
	}
	return s, nil
}

// reader reads one signature.
type reader struct {
	refs     func(reflect.Type) string
	exported bool
	nested   bool // the signature of a callback
	s        *Signature
}

func (r *reader) parse(t reflect.Type, names []string) (*Signature, error) {
	if t == nil || t.Kind() != reflect.Func {
		return nil, fmt.Errorf("%v is not a function", t)
	}
	r.s = &Signature{Variadic: t.IsVariadic(), Plain: true, refs: r.refs}
	in := parameterTypes(t, r.s)
	if err := r.setParams(in, names); err != nil {
		return nil, err
	}
	if err := r.setResults(t); err != nil {
		return nil, err
	}
	if err := r.s.index(); err != nil {
		return nil, err
	}
	r.s.setCanonical()
	return r.s, nil
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

// TakesStream tells that the caller sends a stream, the last parameter.
func (s *Signature) TakesStream() bool {
	n := len(s.Params)
	return n > 0 && s.Params[n-1].Stream != NoStream
}

// Follows tells that more than the arguments and the results passes between caller
// and function, so that the caller has to wait for the end.
func (s *Signature) Follows() bool {
	for i := range s.Params {
		if s.Params[i].Callback != nil {
			return true
		}
	}
	return s.Stream != NoStream || s.TakesStream()
}

// Refers tells that references are among the arguments or results.
func (s *Signature) Refers() bool {
	for i := range s.Params {
		if s.Params[i].Ref != "" {
			return true
		}
	}
	for i := range s.Results {
		if s.Results[i].Ref != "" {
			return true
		}
	}
	return false
}

// ResultTypes are the types of what comes back.
func (s *Signature) ResultTypes() []reflect.Type {
	types := make([]reflect.Type, len(s.Results))
	for i := range s.Results {
		types[i] = s.Results[i].Type
	}
	return types
}

// String is the signature for people: parameter and result types as Go writes
// them, without names, context and error.
func (s *Signature) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for i, p := range s.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		if s.Variadic && i == len(s.Params)-1 {
			b.WriteString("..." + p.Go.Elem().String())
			continue
		}
		b.WriteString(p.Go.String())
	}
	b.WriteByte(')')
	for i, r := range s.Results {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + r.Go.String())
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
