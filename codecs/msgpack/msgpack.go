package msgpack

import (
	"google.golang.org/grpc/encoding"

	"github.com/carp-rpc/carp-go/codecs/internal/msgpackwire"
)

// Name is the content-subtype of the codec: "application/grpc+msgpack".
const Name = msgpackwire.Name

// Codec is the codec: grpc's [encoding.CodecV2] for whole messages, and
// args.Codec for the arguments and results of calls. It has no state and is safe
// for concurrent use.
//
// It is another name of a type that is made without registering anything, for
// package codecs.
type Codec = msgpackwire.Codec

// Importing the package registers the codec, unless another one of that name is
// there, which the rest of the program may rely on.
func init() {
	if encoding.GetCodecV2(Name) == nil {
		encoding.RegisterCodecV2(Codec{})
	}
}

// Registered reports whether grpc uses this package's codec for [Name]. It does
// not if another package had registered one before, or has replaced it since.
// Programs that make calls in msgpack over plain grpc and rely on carp's value
// model should look; carp's own servers and clients use [Codec] in any case.
func Registered() bool {
	_, ours := encoding.GetCodecV2(Name).(Codec)
	return ours
}

// Marshal encodes one value.
func Marshal(v any) ([]byte, error) { return msgpackwire.Marshal(v) }

// Unmarshal checks data, which must be one value and nothing else, and decodes it
// into what v, a pointer, points to. It keeps nothing of data. If it fails, *v
// may be partly set.
func Unmarshal(data []byte, v any) error { return msgpackwire.Unmarshal(data, v) }

// Check reports whether data is exactly one value of a sound shape: no length
// promises more than there is, lists and maps are nested at most value.MaxDepth
// deep, keys are scalars and no map has one twice, strings are valid UTF-8, and
// extensions are known. It takes time and memory in proportion to data, whatever
// that is. All decoding in this package begins with it.
func Check(data []byte) error { return msgpackwire.Check(data) }
