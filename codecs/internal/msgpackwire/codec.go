package msgpackwire

import (
	"reflect"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/internal/engine"
)

// Name is the content-subtype of the codec: "application/grpc+msgpack".
const Name = "msgpack"

// Codec is the codec: grpc's [encoding.CodecV2] for whole messages, and
// [args.Codec] for the arguments and results of calls. It has no state and is
// safe for concurrent use.
type Codec struct{}

var (
	_ encoding.CodecV2 = Codec{}
	_ args.Codec       = Codec{}
)

var format = engine.NewFormat(Name,
	func() engine.Source { return new(reader) },
	func() engine.Sink { return new(writer) },
	1,
)

// Marshal encodes one value.
func Marshal(v any) ([]byte, error) { return format.MarshalBytes(v) }

// Unmarshal checks data, which must be one value and nothing else, and decodes it
// into what v, a pointer, points to. It keeps nothing of data. If it fails, *v
// may be partly set.
func Unmarshal(data []byte, v any) error { return format.UnmarshalBytes(data, v) }

// Check reports whether data is exactly one value of a sound shape: no length
// promises more than there is, lists and maps are nested at most value.MaxDepth
// deep, keys are scalars and no map has one twice, strings are valid UTF-8, and
// extensions are known. It takes time and memory in proportion to data, whatever
// that is. All decoding in this package begins with it.
func Check(data []byte) error { return format.Check(data) }

// Name returns [Name].
func (Codec) Name() string { return Name }

// Marshal encodes v as a message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) { return format.Marshal(v) }

// Unmarshal decodes a message into what v, a pointer, points to.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error { return format.Unmarshal(data, v) }

// Split implements [args.Codec].
func (Codec) Split(body []byte) (args.Arguments, error) { return format.Split(body) }

// Decode implements [args.Codec].
func (Codec) Decode(raw args.Raw, into reflect.Value) error {
	return format.DecodeValue(raw, into)
}

// AppendArgs implements [args.Codec].
func (Codec) AppendArgs(dst []byte, positional []reflect.Value, named []args.Named) ([]byte, error) {
	return format.AppendArgs(dst, positional, named)
}

// AppendResults implements [args.Codec].
func (Codec) AppendResults(dst []byte, results []reflect.Value) ([]byte, error) {
	return format.AppendResults(dst, results)
}

// SplitResults implements [args.Codec].
func (Codec) SplitResults(body []byte, n int) ([]args.Raw, error) {
	return format.SplitResults(body, n, null)
}

var null = []byte{codeNil}

// Append implements [args.Codec].
func (Codec) Append(dst []byte, v reflect.Value) ([]byte, error) { return format.AppendValue(dst, v) }

// Check implements [args.Codec].
func (Codec) Check(item []byte) (args.Raw, error) { return args.Raw{Data: item}, Check(item) }
