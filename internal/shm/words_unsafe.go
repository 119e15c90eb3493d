package shm

import (
	"sync/atomic"
	"unsafe"
)

// word32 is the word at off of mem, which must be 4-byte aligned. The index
// keeps it inside mem.
func word32(mem []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[off : off+4][0]))
}

// word64 is the word at off of mem, which must be 8-byte aligned. The index
// keeps it inside mem.
func word64(mem []byte, off int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&mem[off : off+8][0]))
}
