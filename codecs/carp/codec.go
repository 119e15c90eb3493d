package carp

import (
	"fmt"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Name is the name of the codec, in metadata carp-codec and as content-subtype.
const Name = "carp"

// Codec is the codec for the arguments and results of calls. It has no state and
// is safe for concurrent use.
type Codec struct{}

var _ args.Codec = Codec{}

var format = engine.NewFormat(Name,
	func() engine.Source { return new(reader) },
	func() engine.Sink { return new(writer) },
	1,
)

// Marshal encodes v as a carp.v1.Value, in bytes.
func Marshal(v any) ([]byte, error) { return format.MarshalBytes(v) }

// Unmarshal checks data, which must be a carp.v1.Value in bytes, and decodes it
// into what v, a pointer, points to. It keeps nothing of data. If it fails, *v may
// be partly set.
func Unmarshal(data []byte, v any) error { return format.UnmarshalBytes(data, v) }

// UnmarshalWithin is Unmarshal for one of several values that together may take no more
// memory than budget says, in bytes. It takes from budget what it allocates.
func UnmarshalWithin(data []byte, v any, budget *int) error {
	return format.DecodeWithin(data, v, (*engine.Budget)(budget))
}

// Check reports whether data is a carp.v1.Value of a sound shape: no size larger
// than there is room, exactly one kind in every Value, lists, maps and named
// values nested at most value.MaxDepth deep, keys are scalars and no map has one
// twice, text is valid UTF-8. It takes time and memory in proportion to data,
// whatever that is. All decoding in this package begins with it.
func Check(data []byte) error { return format.Check(data) }

// ToProto returns v as a message.
func ToProto(v any) (*carpv1.Value, error) {
	data, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	m := new(carpv1.Value)
	return m, proto.Unmarshal(data, m)
}

// FromProto decodes m into what v, a pointer, points to.
func FromProto(m *carpv1.Value, v any) error {
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return Unmarshal(data, v)
}

// Name returns [Name].
func (Codec) Name() string { return Name }

// The fields of carp.v1.Args, of the entries of its map, and of carp.v1.Result.
const (
	numArgs       = 1
	numKwargs     = 2
	numEntryKey   = 1
	numEntryValue = 2
	numResult     = 1
)

// Split implements [args.Codec]: body is a carp.v1.Args.
func (Codec) Split(body []byte) (args.Arguments, error) {
	var all args.Arguments
	err := eachField(body, func(num protowire.Number, data []byte) error {
		switch num {
		case numArgs:
			if len(all.Positional) == args.Max {
				return engine.TooMany()
			}
			raw, err := checked(data)
			all.Positional = append(all.Positional, raw)
			return err
		case numKwargs:
			if len(all.Named) == args.Max {
				return engine.TooMany()
			}
			arg, err := splitEntry(data)
			all.Named = append(all.Named, arg)
			return err
		default:
			return fmt.Errorf("carp: Args with an unknown field %d", num)
		}
	})
	if err == nil {
		err = refuseTwice(all.Named)
	}
	if err != nil {
		return args.Arguments{}, err
	}
	engine.Share(&all, len(body))
	return all, nil
}

// eachField calls f with every field of a message all of whose fields have a
// size.
func eachField(body []byte, f func(protowire.Number, []byte) error) error {
	for len(body) > 0 {
		num, typ, n := protowire.ConsumeTag(body)
		if n < 0 {
			return fmt.Errorf("carp: %w", protowire.ParseError(n))
		}
		if typ != protowire.BytesType {
			return fmt.Errorf("carp: field %d, which is unknown", num)
		}
		data, m := protowire.ConsumeBytes(body[n:])
		if m < 0 {
			return fmt.Errorf("carp: %w", protowire.ParseError(m))
		}
		if err := f(num, data[:len(data):len(data)]); err != nil {
			return err
		}
		body = body[n+m:]
	}
	return nil
}

func checked(data []byte) (args.Raw, error) { return args.Raw{Data: data}, Check(data) }

// splitEntry reads one entry of Args.kwargs.
func splitEntry(entry []byte) (args.NamedRaw, error) {
	var arg args.NamedRaw
	err := eachField(entry, func(num protowire.Number, data []byte) (err error) {
		switch num {
		case numEntryKey:
			arg.Name = string(data)
		case numEntryValue:
			arg.Raw, err = checked(data)
		default:
			err = fmt.Errorf("carp: a named argument with an unknown field %d", num)
		}
		return err
	})
	if err == nil && (arg.Name == "" || !utf8.ValidString(arg.Name) || arg.Raw.Data == nil) {
		err = fmt.Errorf("carp: a named argument without a name or a value")
	}
	return arg, err
}

// refuseTwice looks for a name that comes twice. In a protobuf map, the last one
// would silently win.
func refuseTwice(named []args.NamedRaw) error {
	if len(named) < 2 {
		return nil
	}
	seen := make(map[string]bool, len(named))
	for _, arg := range named {
		if seen[arg.Name] {
			return fmt.Errorf("carp: %w", &value.Error{Path: arg.Name, Got: "an argument that is given twice"})
		}
		seen[arg.Name] = true
	}
	return nil
}

// Decode implements [args.Codec].
func (Codec) Decode(raw args.Raw, into reflect.Value) error {
	return format.DecodeValue(raw, into)
}

// AppendArgs implements [args.Codec]: it appends a carp.v1.Args.
func (Codec) AppendArgs(dst []byte, positional []reflect.Value, named []args.Named) ([]byte, error) {
	return format.Build(dst, func(e *engine.Encoder) error {
		w := e.W.(*writer)
		for i, v := range positional {
			w.begin(numArgs, false)
			if err := e.Encode(v); err != nil {
				return engine.Within(engine.Index(i), err)
			}
			w.end()
		}
		for _, arg := range named {
			w.begin(numKwargs, false)
			w.text(numEntryKey, arg.Name)
			w.begin(numEntryValue, false)
			if err := e.Encode(arg.Value); err != nil {
				return engine.Within(engine.Key(arg.Name), err)
			}
			w.end()
			w.end()
		}
		return nil
	})
}

// AppendResults implements [args.Codec]: it appends a carp.v1.Result.
func (Codec) AppendResults(dst []byte, results []reflect.Value) ([]byte, error) {
	return format.Build(dst, func(e *engine.Encoder) error {
		w := e.W.(*writer)
		w.begin(numResult, false)
		err := e.Results(results)
		w.end()
		return err
	})
}

// SplitResults implements [args.Codec]: body is a carp.v1.Result.
func (Codec) SplitResults(body []byte, n int) ([]args.Raw, error) {
	data := null
	seen := false
	err := eachField(body, func(num protowire.Number, value []byte) error {
		if num != numResult || seen {
			return fmt.Errorf("carp: Result with more than a value")
		}
		data, seen = value, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return format.SplitResults(data, n, null)
}

// null is a Value.
var null = []byte{numNull<<3 | byte(protowire.BytesType), 0}

// Append implements [args.Codec]: it appends a carp.v1.Value.
func (Codec) Append(dst []byte, v reflect.Value) ([]byte, error) { return format.AppendValue(dst, v) }

// Check implements [args.Codec]: item is a carp.v1.Value.
func (Codec) Check(item []byte) (args.Raw, error) { return checked(item) }
