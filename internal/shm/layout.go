package shm

import (
	"encoding/binary"
	"fmt"
)

// The segment, version 1. Sizes in bytes; words are in the machine's byte order.
//
//	offset       size  field     written by  read by
//	0x000        8     magic     creator     receiver, once
//	0x008        4     version   creator     receiver, once
//	0x00c        4     (zero)
//	0x010        8     capacity of ring 0    receiver, once
//	0x018        8     capacity of ring 1    receiver, once
//	0x020        8     nonce     creator     receiver, once
//	0x100        512   words of ring 0 (dialler to listener)
//	0x300        512   words of ring 1 (listener to dialler)
//	0x1000       capacity 0   bytes of ring 0
//	0x1000+cap0  capacity 1   bytes of ring 1
//
// The words of a ring. Each lies on a pair of cache lines of its own (128
// bytes: x86 fetches lines in pairs), so that the two ends don't fight over a
// line unless they have something to say to each other.
//
//	offset  size  field  written by                       read by
//	0x000   8     tail   producer                         consumer
//	0x008   4     fin    producer: no byte after tail     consumer
//	0x010   8     base   producer                         consumer
//	0x080   8     head   consumer                         producer
//	0x088   4     rst    consumer: will read no more      producer
//	0x100   4     rwait  consumer sets, producer clears   both
//	0x180   4     wwait  producer sets, consumer clears   both
//
// wait.go has the values of the wait words.
const (
	offMagic    = 0x000
	offVersion  = 0x008
	offCapacity = 0x010 // and 0x018
	offNonce    = 0x020
	offRing0    = 0x100
	ringWords   = 0x200
	offData     = 0x1000

	offTail  = 0x000
	offFin   = 0x008
	offBase  = 0x010
	offHead  = 0x080
	offRst   = 0x088
	offRwait = 0x100
	offWwait = 0x180
)

// Version is the version of the segment's layout and of the handshake.
const Version = 1

// magic is "CARPshm" and a byte of zero. Being a word in the machine's byte
// order, it also tells a receiver that the creator's byte order is its own.
const magic uint64 = 0x006d687350524143

// The legal ring capacities: powers of two from MinRing to MaxRing bytes.
const (
	MinRing = 4 << 10
	MaxRing = 64 << 20
)

// CheckRing tells whether n is a legal ring capacity.
func CheckRing(n int) error {
	if n < MinRing || n > MaxRing || n&(n-1) != 0 {
		return fmt.Errorf("ring of %d bytes: want a power of two from %d to %d", n, MinRing, MaxRing)
	}
	return nil
}

// capacities are the bytes of ring 0 and ring 1.
type capacities [2]int

func (c capacities) check() error {
	for _, n := range c {
		if err := CheckRing(n); err != nil {
			return err
		}
	}
	return nil
}

// segmentSize is the size of a segment with these rings.
func (c capacities) segmentSize() int { return offData + c[0] + c[1] }

// nonceOf is the number that the creator made up for the segment. A receiver that finds
// another than the one it was told has got hold of another segment: ids of System
// V segments mean something else in another IPC namespace.
func nonceOf(mem []byte) uint64 { return binary.NativeEndian.Uint64(mem[offNonce:]) }

func setNonce(mem []byte, nonce uint64) { binary.NativeEndian.PutUint64(mem[offNonce:], nonce) }

// writeHeader fills in the header of a fresh, zeroed segment.
func writeHeader(mem []byte, c capacities) {
	binary.NativeEndian.PutUint64(mem[offMagic:], magic)
	binary.NativeEndian.PutUint32(mem[offVersion:], Version)
	binary.NativeEndian.PutUint64(mem[offCapacity:], uint64(c[0]))
	binary.NativeEndian.PutUint64(mem[offCapacity+8:], uint64(c[1]))
}

// checkHeader compares the header with what the handshake agreed on. The
// agreed capacities, not the header's, are used from then on.
func checkHeader(mem []byte, c capacities) error {
	if len(mem) != c.segmentSize() {
		return fmt.Errorf("%w: segment of %d bytes, want %d", ErrCorrupt, len(mem), c.segmentSize())
	}
	if m := binary.NativeEndian.Uint64(mem[offMagic:]); m != magic {
		return fmt.Errorf("%w: segment magic %#x, want %#x", ErrCorrupt, m, magic)
	}
	if v := binary.NativeEndian.Uint32(mem[offVersion:]); v != Version {
		return fmt.Errorf("%w: segment version %d, want %d", ErrCorrupt, v, Version)
	}
	for i := range c {
		if n := binary.NativeEndian.Uint64(mem[offCapacity+8*i:]); n != uint64(c[i]) {
			return fmt.Errorf("%w: ring %d of %d bytes, agreed on %d", ErrCorrupt, i, n, c[i])
		}
	}
	return nil
}
