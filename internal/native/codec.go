package native

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// codecFor is the codec of a content-subtype, or nil.
func codecFor(subtype string) encoding.CodecV2 {
	if subtype == "" {
		subtype = protocodec.Name
	}
	if c := encoding.GetCodecV2(subtype); c != nil {
		return c
	}
	if c := encoding.GetCodec(subtype); c != nil {
		return codecV1{c}
	}
	return nil
}

// codecV1 makes a codec of the first kind one of the second.
type codecV1 struct{ encoding.Codec }

func (c codecV1) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.Codec.Marshal(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (c codecV1) Unmarshal(data mem.BufferSlice, v any) error {
	return c.Codec.Unmarshal(data.Materialize(), v)
}

// isPlainProto tells whether c is grpc-go's own codec of protobuf, which can be done
// without because what it does is known. Somebody may have registered another one
// under its name.
func isPlainProto(c encoding.CodecV2) bool {
	t := reflect.TypeOf(c)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "google.golang.org/grpc/encoding/proto"
}

// payload is an encoded message, and the memory that it is in.
type payload struct {
	data   []byte
	size   int // before compression
	wire   int // after it
	packed bool
	msg    any  // what was encoded; for statistics
	set    bool // this is a message, if perhaps an empty one

	buf   *[]byte    // from direct.Buffers, or nil
	owned mem.Buffer // or nil
}

func (p *payload) free() {
	if p.buf != nil {
		direct.Buffers.Put(p.buf)
	}
	if p.owned != nil {
		p.owned.Free()
	}
	p.data, p.buf, p.owned = nil, nil, nil
}

// encode encodes a message, and compresses it unless comp is nil.
func encode(codec encoding.CodecV2, plain bool, comp encoding.Compressor, msg any) (payload, error) {
	p, err := marshal(codec, plain, msg)
	if err != nil {
		return payload{}, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err.Error())
	}
	p.size, p.wire = len(p.data), len(p.data)
	if uint64(p.size) > math.MaxUint32 {
		p.free()
		return payload{}, status.Errorf(codes.ResourceExhausted, "grpc: message too large (%d bytes)", p.size)
	}
	if comp == nil || p.size == 0 {
		return p, nil
	}
	packed, err := compress(comp, p.data)
	if err != nil {
		p.free()
		return payload{}, status.Errorf(codes.Internal, "grpc: error while compressing: %v", err.Error())
	}
	// The message is held as long as its form that travels: who made it may count it.
	p.data, p.wire, p.packed = packed, len(packed), true
	return p, nil
}

func marshal(codec encoding.CodecV2, plain bool, msg any) (payload, error) {
	if msg == nil {
		return payload{}, nil
	}
	switch m := msg.(type) {
	case *raw.Message:
		data, owned := m.Share()
		return payload{data: data, owned: owned}, nil
	case proto.Message:
		if plain {
			return marshalProto(m)
		}
	}
	out, err := codec.Marshal(msg)
	if err != nil {
		return payload{}, err
	}
	defer out.Free()
	owned := out.MaterializeToBuffer(direct.Buffers)
	return payload{data: owned.ReadOnlyData(), owned: owned}, nil
}

// marshalProto does what grpc-go's codec does, into a buffer of ours.
func marshalProto(m proto.Message) (payload, error) {
	size := proto.Size(m)
	buf := direct.Buffers.Get(size)
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], m)
	if err != nil {
		direct.Buffers.Put(buf)
		return payload{}, err
	}
	return payload{data: b, buf: buf}, nil
}

func compress(comp encoding.Compressor, data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := comp.Compress(&out)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// sizes are what statistics say of a received message.
type sizes struct{ plain, wire int }

// decode decodes a received message and frees it.
func decode(codec encoding.CodecV2, plain bool, u unpacker, m direct.Message, msg any) (sizes, error) {
	wire := len(m.Bytes())
	if m.Packed {
		data, err := u.unpack(m.Bytes())
		m.Free()
		if err != nil {
			return sizes{}, err
		}
		err = unmarshal(codec, mem.BufferSlice{mem.SliceBuffer(data)}, msg)
		return sizes{len(data), wire}, err
	}
	switch pm := msg.(type) {
	case *raw.Message:
		*pm = raw.Received(m)
		return sizes{wire, wire}, nil
	case proto.Message:
		if plain {
			err := proto.Unmarshal(m.Bytes(), pm)
			m.Free()
			return sizes{wire, wire}, decodeError(err)
		}
	}
	data := mem.BufferSlice{m.Buffer()}
	err := unmarshal(codec, data, msg)
	data.Free()
	return sizes{wire, wire}, err
}

func unmarshal(codec encoding.CodecV2, data mem.BufferSlice, msg any) error {
	return decodeError(codec.Unmarshal(data, msg))
}

func decodeError(err error) error {
	if err == nil {
		return nil
	}
	return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
}

// unpacker undoes the compression of received messages.
type unpacker struct {
	name  string // as the peer said
	limit int    // bytes of the result
	code  codes.Code
}

func (u unpacker) unpack(data []byte) ([]byte, error) {
	if u.name == "" || u.name == encoding.Identity {
		return nil, status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
	}
	comp := encoding.GetCompressor(u.name)
	if comp == nil {
		return nil, status.Errorf(u.code, "grpc: Decompressor is not installed for grpc-encoding %q", u.name)
	}
	r, err := comp.Decompress(bytes.NewReader(data))
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: failed to decompress the message: %v", err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(u.limit)+1))
	switch {
	case err != nil:
		return nil, status.Errorf(codes.Internal, "grpc: failed to read decompressed data: %v", err)
	case len(out) > u.limit:
		return nil, status.Errorf(codes.ResourceExhausted, "grpc: received message after decompression larger than max %d", u.limit)
	}
	return out, nil
}

// contentType is the content-type header of a content-subtype. The usual ones are not put
// together for each call.
func contentType(subtype string) string {
	switch subtype {
	case "":
		return "application/grpc"
	case "proto":
		return "application/grpc+proto"
	case "msgpack":
		return "application/grpc+msgpack"
	case "json":
		return "application/grpc+json"
	}
	return "application/grpc+" + subtype
}

// tooLarge is the status of a message that was not received.
func tooLarge(e *direct.MessageTooLargeError) error {
	return status.Error(codes.ResourceExhausted,
		fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", e.Size, e.Limit))
}
