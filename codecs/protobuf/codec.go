package protobuf

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Name is the content-subtype of the codec, and the codec of calls that name
// none.
const Name = proto.Name

// Codec encodes protobuf messages with whatever codec is registered with grpc as
// [Name]: a program that has replaced grpc's own, for speed, means that one. It
// has no state and is safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name returns [Name].
func (Codec) Name() string { return Name }

// Marshal encodes v, a protobuf message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2(Name).Marshal(v)
}

// Unmarshal decodes data into v, a protobuf message.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2(Name).Unmarshal(data, v)
}

// Marshal encodes v, a protobuf message, into a slice.
func Marshal(v any) ([]byte, error) {
	data, err := Codec{}.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("protobuf: marshal %T: %w", v, err)
	}
	defer data.Free()
	return data.Materialize(), nil
}

// Unmarshal decodes data into v, a protobuf message. It keeps nothing of data.
func Unmarshal(data []byte, v any) error {
	if err := (Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, v); err != nil {
		return fmt.Errorf("protobuf: unmarshal into %T: %w", v, err)
	}
	return nil
}
