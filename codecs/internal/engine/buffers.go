package engine

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// scratch keeps the buffers in which messages are encoded, whose size is known
// only afterwards. It is a mem.BufferPool, so that gRPC gives back the ones that
// were handed to it.
type scratch struct{ pool sync.Pool }

var scratches = &scratch{pool: sync.Pool{New: func() any { return new([]byte) }}}

// maxScratch is the largest buffer that is kept. Larger ones are rare, and one of
// them per P would stay for long.
const maxScratch = 1 << 20

func (s *scratch) Get(length int) *[]byte {
	b := s.pool.Get().(*[]byte)
	if cap(*b) < length {
		*b = make([]byte, length)
	}
	*b = (*b)[:length]
	return b
}

func (s *scratch) Put(b *[]byte) {
	if cap(*b) <= maxScratch {
		s.pool.Put(b)
	}
}

// MarshalBuffers encodes a message with appendTo, which appends it to a slice,
// into buffers for gRPC.
func MarshalBuffers(appendTo func([]byte) ([]byte, error)) (mem.BufferSlice, error) {
	b := scratches.Get(0)
	data, err := appendTo(*b)
	if err != nil {
		scratches.Put(b)
		return nil, err
	}
	*b = data
	if !mem.IsBelowBufferPoolingThreshold(len(data)) {
		return mem.BufferSlice{mem.NewBuffer(b, scratches)}, nil
	}
	// gRPC doesn't give back small buffers.
	small := append(make(mem.SliceBuffer, 0, len(data)), data...)
	scratches.Put(b)
	return mem.BufferSlice{small}, nil
}

// UnmarshalBuffers calls decode with the contents of data in one piece, which is
// valid until it returns.
func UnmarshalBuffers(data mem.BufferSlice, decode func([]byte) error) error {
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return decode(b.ReadOnlyData())
}
