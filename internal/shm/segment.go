package shm

import (
	"fmt"
	"strings"
)

// Backing says which kind of kernel object a segment is.
type Backing uint8

// The backings, in the order in which a listener prefers them.
const (
	MemFD Backing = 1 + iota // an anonymous file, passed over the socket, sealed
	SysV                     // a System V segment, removed as soon as it is attached
)

func (b Backing) String() string {
	switch b {
	case MemFD:
		return "memfd"
	case SysV:
		return "sysv"
	default:
		return fmt.Sprintf("backing(%d)", uint8(b))
	}
}

// Backings is a set of backings.
type Backings uint32

// AllBackings is every backing that this version knows.
const AllBackings = Backings(1<<MemFD | 1<<SysV)

// Of makes a set.
func Of(bs ...Backing) Backings {
	var set Backings
	for _, b := range bs {
		set |= 1 << b
	}
	return set
}

// Has tells whether b is in the set.
func (s Backings) Has(b Backing) bool { return s&(1<<b) != 0 }

func (s Backings) String() string {
	var names []string
	for _, b := range []Backing{MemFD, SysV} {
		if s.Has(b) {
			names = append(names, b.String())
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Segment is a mapped segment.
type Segment struct {
	mem     []byte
	caps    capacities
	backing Backing
	unmap   func(mem []byte) error
}

// ring is the words and the bytes of ring i.
func (s *Segment) ring(i int) (words, []byte) {
	w := ringWordsAt(s.mem, offRing0+i*ringWords)
	start := offData
	if i == 1 {
		start += s.caps[0]
	}
	end := start + s.caps[i]
	return w, s.mem[start:end:end]
}

// close unmaps the segment. No view of it may be used afterwards.
func (s *Segment) close() error {
	mem := s.mem
	s.mem = nil
	return s.unmap(mem)
}
