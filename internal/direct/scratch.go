package direct

import (
	"encoding/binary"
	"slices"
	"sync"
)

// scratch is memory to put blocks together in.
type scratch struct{ b []byte }

// Scratch memory grows to what blocks need; what a giant one needed is not kept.
const (
	firstScratch = 1 << 10
	keepScratch  = 64 << 10
)

var scratches = sync.Pool{New: func() any { return &scratch{b: make([]byte, firstScratch)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) put() {
	if cap(s.b) <= keepScratch {
		scratches.Put(s)
	}
}

// body is empty memory with space before it for the length of what is appended.
func (s *scratch) body() []byte { return s.b[:binary.MaxVarintLen64] }

// lead writes the length of what was appended to body before it, and returns both.
func (s *scratch) lead(b []byte) []byte {
	s.b = b // it may have moved
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(len(b)-len(length)))
	start := len(length) - size
	copy(b[start:], length[:size])
	return b[start:]
}

// appendBlock appends what body appends, behind its length. A length has two bytes
// here if it can, so that the block need not be moved.
func appendBlock(b []byte, body func([]byte) []byte) []byte {
	start := len(b)
	b = body(append(b, 0, 0))
	n := len(b) - start - 2
	if n < 1<<14 {
		b[start], b[start+1] = byte(n)|0x80, byte(n>>7)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	return slices.Replace(b, start, start+2, length[:size]...)
}
