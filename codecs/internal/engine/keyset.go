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
	data []byte   // the canonical forms of the keys, one after the other
	refs []keyRef // one for each key, in order
}

// keyRef is one key. Its form ends where that of the next begins. 32 bits do
// for offsets: forms are hardly longer than the keys were on the wire, and gRPC
// has no messages above 2 GiB.
type keyRef struct{ hash, start uint32 }

// set is the part of a keySet that belongs to one map.
type set struct {
	first int      // its first key in refs
	table []uint32 // hash table of positions in refs, +1; nil while it is small
}

// smallSet is how many keys are compared one by one before there is a table.
const smallSet = 16

// keySeed makes collisions unpredictable to a peer.
var keySeed = maphash.MakeSeed()

func (s *keySet) open() set { return set{first: len(s.refs)} }

func (s *keySet) close(m set) {
	if m.first < len(s.refs) {
		s.data = s.data[:s.refs[m.first].start]
		s.refs = s.refs[:m.first]
	}
}

// maxKept is how much memory, in keys or bytes, a set keeps for its next use.
const maxKept = 1 << 12

func (s *keySet) reset() {
	s.data, s.refs = s.data[:0], s.refs[:0]
	if cap(s.data) > maxKept || cap(s.refs) > maxKept {
		*s = keySet{}
	}
}

// add adds key k to m and reports whether it was new.
func (s *keySet) add(m *set, k *Token) bool {
	start := len(s.data)
	s.data = appendCanonical(s.data, k)
	form := s.data[start:]
	hash := uint32(maphash.Bytes(keySeed, form))
	if s.has(m, hash, form) {
		s.data = s.data[:start]
		return false
	}
	s.refs = append(s.refs, keyRef{hash, uint32(start)})
	if n := len(s.refs) - m.first; n > smallSet {
		s.insert(m, n)
	}
	return true
}

// has reports whether m has a key of this form, which is the last thing in
// data.
func (s *keySet) has(m *set, hash uint32, form []byte) bool {
	if m.table == nil {
		for i := m.first; i < len(s.refs); i++ {
			if s.refs[i].hash == hash && bytes.Equal(s.form(i, len(form)), form) {
				return true
			}
		}
		return false
	}
	mask := uint32(len(m.table) - 1)
	for i := hash & mask; m.table[i] != 0; i = (i + 1) & mask {
		ref := int(m.table[i] - 1)
		if s.refs[ref].hash == hash && bytes.Equal(s.form(ref, len(form)), form) {
			return true
		}
	}
	return false
}

// form returns the form of key i while another of the given length is at the
// end of data.
func (s *keySet) form(i, newest int) []byte {
	end := len(s.data) - newest
	if i+1 < len(s.refs) {
		end = int(s.refs[i+1].start)
	}
	return s.data[s.refs[i].start:end]
}

// insert puts the newest of n keys into the table, or all of them into a larger
// one when it is more than half full.
func (s *keySet) insert(m *set, n int) {
	from := len(s.refs) - 1
	if 2*n > len(m.table) {
		m.table = make([]uint32, max(4*smallSet, 2*len(m.table)))
		from = m.first
	}
	mask := uint32(len(m.table) - 1)
	for ref := from; ref < len(s.refs); ref++ {
		i := s.refs[ref].hash & mask
		for m.table[i] != 0 {
			i = (i + 1) & mask
		}
		m.table[i] = uint32(ref + 1)
	}
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
