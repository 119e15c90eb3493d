// Package raw is for messages that are encoded before they are sent, and decoded some time
// after they were received, by somebody who knows the codec.
package raw

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// Message is an encoded message, and the memory that it is in. Whoever has one calls Free
// once, and does not use Data after that: who has sent it does, too, and gRPC keeps what it still
// needs. The zero Message is an empty one.
type Message struct {
	Data []byte

	owner    mem.Buffer     // or nil
	received direct.Message // or nothing
}

// Of is a message in the collector's memory.
func Of(data []byte) Message { return Message{Data: data} }

// Received is a message that came by the direct transport.
func Received(m direct.Message) Message { return Message{Data: m.Bytes(), received: m} }

// Join makes one message of the pieces of one, and takes them over.
func Join(pieces mem.BufferSlice) Message {
	var b mem.Buffer
	switch len(pieces) {
	case 0:
		return Message{}
	case 1:
		b = pieces[0]
	default:
		b = pieces.MaterializeToBuffer(mem.DefaultBufferPool())
		pieces.Free()
	}
	return Message{Data: b.ReadOnlyData(), owner: b}
}

// Len is how many bytes the message has.
func (m *Message) Len() int { return len(m.Data) }

// Free gives the memory back.
func (m *Message) Free() {
	if m.owner != nil {
		m.owner.Free()
	}
	m.received.Free()
	*m = Message{}
}

// Share is the message's bytes for somebody else, and what they free when they need them
// no longer, or nil.
func (m *Message) Share() ([]byte, mem.Buffer) {
	if m.received.Bytes() != nil {
		m.owner, m.received = m.received.Buffer(), direct.Message{}
	}
	if m.owner != nil {
		m.owner.Ref()
	}
	return m.Data, m.owner
}

// Buffers is the message as gRPC's codecs take it, and the end of the message.
func (m *Message) Buffers() mem.BufferSlice {
	data, b := m.Share()
	m.Free()
	return bufferSlice(data, b)
}

func bufferSlice(data []byte, owner mem.Buffer) mem.BufferSlice {
	if owner == nil {
		owner = mem.SliceBuffer(data)
	}
	return mem.BufferSlice{owner}
}

// Keep is the message in memory that nobody takes back, and the end of the message.
func (m *Message) Keep() []byte {
	data := m.Data
	if m.owner != nil || m.received.Bytes() != nil {
		data = bytes.Clone(data)
	}
	m.Free()
	return data
}

// Codec passes a *[Message] through gRPC, under a codec's name. The direct transport does
// without asking it.
type Codec string

var _ encoding.CodecV2 = Codec("")

// Name implements [encoding.CodecV2].
func (c Codec) Name() string { return string(c) }

// Marshal implements [encoding.CodecV2].
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*Message)
	if !ok {
		return nil, fmt.Errorf("a %T is no encoded message", v)
	}
	return bufferSlice(m.Share()), nil
}

// Unmarshal implements [encoding.CodecV2].
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return fmt.Errorf("a %T holds no encoded message", v)
	}
	data.Ref()
	*m = Join(data)
	return nil
}
