package rpctest

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor of the compression cases
	"google.golang.org/grpc/mem"
)

// codecName is the content-subtype of the suite's own registered codec. It is
// long so that it takes nobody else's.
const codecName = "rpctest-json"

// Codecs may only be registered while the program is initialized. Nothing
// else looks at this one.
func init() { encoding.RegisterCodecV2(jsonCodec{}) }

// jsonCodec encodes any value as JSON. It makes the values "unencodable" and
// "undecodable" fail.
type jsonCodec struct{ name string }

func (c jsonCodec) Name() string {
	if c.name != "" {
		return c.name
	}
	return codecName
}

func (c jsonCodec) Marshal(v any) (mem.BufferSlice, error) {
	if s, ok := v.(*string); ok && *s == "unencodable" {
		return nil, errors.New("the codec refuses to encode")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	// Two buffers, so that nobody can rely on there being one.
	half := len(b) / 2
	return mem.BufferSlice{mem.SliceBuffer(b[:half]), mem.SliceBuffer(b[half:])}, nil
}

func (c jsonCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b := data.Materialize()
	if string(b) == `"undecodable"` {
		return errors.New("the codec refuses to decode")
	}
	return json.Unmarshal(b, v)
}

// codecV1 is an encoding.Codec, the older kind.
type codecV1 struct{}

func (codecV1) Name() string                       { return codecName }
func (codecV1) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (codecV1) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// codecV0 is a grpc.Codec, the oldest kind.
type codecV0 struct{ codecV1 }

func (codecV0) String() string { return codecName }

// pooledCodec encodes []byte into buffers from a pool and counts them, so that
// a case sees whether the transport gives each one back.
type pooledCodec struct{ pool *countingPool }

func (pooledCodec) Name() string { return codecName }

func (c pooledCodec) Marshal(v any) (mem.BufferSlice, error) {
	src, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("pooledCodec: %T is not *[]byte", v)
	}
	var out mem.BufferSlice
	const chunk = 4 << 10 // above the size below which mem does not pool
	for rest := *src; len(rest) > 0; {
		n := min(chunk, len(rest))
		buf := c.pool.Get(n)
		copy(*buf, rest[:n])
		out = append(out, mem.NewBuffer(buf, c.pool))
		rest = rest[n:]
	}
	return out, nil
}

func (c pooledCodec) Unmarshal(data mem.BufferSlice, v any) error {
	dst, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("pooledCodec: %T is not *[]byte", v)
	}
	*dst = data.Materialize()
	return nil
}
