package host

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// rawMessage is a message that is encoded already, or not decoded yet.
type rawMessage struct {
	data  mem.BufferSlice
	taken bool // by gRPC, which frees it
}

// drop frees a message that gRPC has not come to send.
func (m *rawMessage) drop() {
	if !m.taken {
		m.data.Free()
	}
}

// rawCodec passes encoded messages through gRPC, under a codec's name. The
// server forces it upon every call, since gRPC's own choice of a codec knows
// nothing of the tag in the metadata; the dispatcher chooses.
type rawCodec string

var _ encoding.CodecV2 = rawCodec("")

// Name implements [encoding.CodecV2].
func (c rawCodec) Name() string { return string(c) }

// Marshal implements [encoding.CodecV2]. The buffers become gRPC's.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*rawMessage)
	if !ok {
		return nil, fmt.Errorf("a %T is no encoded message", v)
	}
	m.taken = true
	return m.data, nil
}

// Unmarshal implements [encoding.CodecV2]. The message's owner frees it.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*rawMessage)
	if !ok {
		return fmt.Errorf("a %T holds no encoded message", v)
	}
	data.Ref()
	m.data = data
	return nil
}
