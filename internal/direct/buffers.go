package direct

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Buffers is the pool that received messages come from. Its buffers hold what their
// last user left: whoever gets one writes all of it. (gRPC's default pool clears
// them, which for a megabyte costs as much as receiving it.)
var Buffers mem.BufferPool = &bufferPool{}

// bufferPool keeps buffers by the power of two of their capacity.
type bufferPool struct {
	sizes [maxPooled + 1]sync.Pool
}

const (
	minPooled = 4  // 16 bytes: with larger ones, small messages would cost more than their credit
	maxPooled = 22 // 4 MiB
)

// Get gives a buffer of n bytes.
func (p *bufferPool) Get(n int) *[]byte {
	class := max(minPooled, bits.Len(uint(max(n, 1)-1)))
	if class > maxPooled {
		b := make([]byte, n)
		return &b
	}
	if b, ok := p.sizes[class].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

// Put takes back a buffer that Get gave.
func (p *bufferPool) Put(b *[]byte) {
	class := bits.Len(uint(cap(*b))) - 1
	if class >= minPooled && class <= maxPooled && cap(*b) == 1<<class {
		p.sizes[class].Put(b)
	}
}

// Message is a received message. Who takes one off a stream owns its buffer and
// calls Free once.
type Message struct {
	Packed bool // compressed with the stream's encoding
	buf    *[]byte
}

// Bytes is the message. It must not be used after Free.
func (m Message) Bytes() []byte {
	if m.buf == nil {
		return nil
	}
	return *m.buf
}

// Buffer is the message as codecs take it. The reference that the message was is
// now the buffer's: call its Free in place of the message's.
func (m Message) Buffer() mem.Buffer {
	if m.buf == nil {
		return mem.SliceBuffer(nil)
	}
	return mem.NewBuffer(m.buf, Buffers)
}

// Free gives the message's memory back.
func (m Message) Free() {
	if m.buf != nil {
		Buffers.Put(m.buf)
	}
}
