package engine

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// keySet finds keys that a map has twice. Maps nest, so it is a stack of sets;
// all of them share two slices, which stay in proportion to the input. A Go map
// per set would allocate several times as much for keys of one or two bytes,
// which is what an attacker sends.
type keySet struct {
	data []byte // the canonical forms of the keys, one after the other

	// starts is where each form begins; it ends where the next one begins. 32
	// bits do: forms are hardly longer than the keys were on the wire, and gRPC
	// has no messages above 2 GiB.
	starts []uint32
}

// set is the part of a keySet that belongs to one map.
type set struct {
	first int      // its first key in starts
	table []uint32 // hash table of positions in starts, +1; nil while it is small
}

// smallSet is how many keys are compared one by one before there is a table.
const smallSet = 16

// keySeed makes collisions unpredictable to a peer.
var keySeed = maphash.MakeSeed()

func (s *keySet) open() set { return set{first: len(s.starts)} }

func (s *keySet) close(m set) {
	if m.first < len(s.starts) {
		s.data = s.data[:s.starts[m.first]]
		s.starts = s.starts[:m.first]
	}
}

// maxKept is how much memory, in keys or bytes, a set keeps for its next use.
const maxKept = 1 << 12

func (s *keySet) reset() {
	s.data, s.starts = s.data[:0], s.starts[:0]
	if cap(s.data) > maxKept || cap(s.starts) > maxKept {
		*s = keySet{}
	}
}

// add adds key k to m and reports whether it was new.
func (s *keySet) add(m *set, k *Token) bool {
	start := len(s.data)
	s.data = appendCanonical(s.data, k)
	s.starts = append(s.starts, uint32(start))
	newest := len(s.starts) - 1
	n := newest - m.first // keys before it
	if n < smallSet {
		return !s.among(m.first, newest)
	}
	if 2*n >= len(m.table) {
		m.table = make([]uint32, max(4*smallSet, 2*len(m.table)))
		for i := m.first; i < newest; i++ {
			s.insert(m, i)
		}
	}
	return s.insert(m, newest)
}

// among reports whether one of the keys from first on is that of number i, which
// is behind them.
func (s *keySet) among(first, i int) bool {
	form := s.form(i)
	for j := first; j < i; j++ {
		if bytes.Equal(s.form(j), form) {
			return true
		}
	}
	return false
}

// insert puts key i into the table and reports whether it was not there.
func (s *keySet) insert(m *set, i int) bool {
	form := s.form(i)
	mask := uint64(len(m.table) - 1)
	slot := maphash.Bytes(keySeed, form) & mask
	for ; m.table[slot] != 0; slot = (slot + 1) & mask {
		if bytes.Equal(s.form(int(m.table[slot]-1)), form) {
			return false
		}
	}
	m.table[slot] = uint32(i + 1)
	return true
}

func (s *keySet) form(i int) []byte {
	end := len(s.data)
	if i+1 < len(s.starts) {
		end = int(s.starts[i+1])
	}
	return s.data[s.starts[i]:end]
}

// appendCanonical appends a form of k that is equal for equal keys and only for
// them: 1 is 1 in whatever width it came, but not 1.0 and not "1".
func appendCanonical(to []byte, k *Token) []byte {
	to = append(to, byte(k.Kind))
	switch k.Kind {
	case String, Bytes:
		return append(to, k.Data...)
	case Float:
		if k.Float64() == 0 { // -0 == 0
			return binary.LittleEndian.AppendUint64(to, 0)
		}
		return binary.LittleEndian.AppendUint64(to, k.Num)
	case Time, Date, DateTime:
		to = binary.LittleEndian.AppendUint32(to, uint32(k.Len))
		return binary.LittleEndian.AppendUint64(to, k.Num)
	case Int:
		return binary.AppendVarint(to, k.Int64())
	default:
		return binary.AppendUvarint(to, k.Num)
	}
}
