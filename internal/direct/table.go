package direct

import "sync"

// MaxStreams is how many streams each end may have open at a time that it opened itself.
const MaxStreams = 1 << 16

// table holds the streams that one end opened. A stream's number is its slot with a
// generation above it, so that finding one is an index, and a frame for a stream that
// has ended is known from one for its successor.
type table struct {
	mu    sync.Mutex
	slots []slot
	free  []uint32 // of the opener
	open  int

	opened uint64 // so far

	// Of the opener.
	limit   int // of open; zero is MaxStreams
	waiting []*entry
	shut    bool // nothing is opened any more
}

type slot struct {
	s   *Stream
	gen uint32
}

func slotOf(id uint64) uint32 { return uint32(id) }

// add gives s a number, or an entry to wait with if there are none to give. It is the opener's
// way in.
func (t *table) add(s *Stream) (*entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.shut:
		return nil, ErrGoAway
	case len(t.waiting) == 0 && t.placeLocked(s):
		return nil, nil
	}
	e := &entry{s: s, ready: make(chan struct{})}
	t.waiting = append(t.waiting, e)
	return e, nil
}

// placeLocked puts s into a slot. It fails if there is none.
func (t *table) placeLocked(s *Stream) bool {
	var i uint32
	switch {
	case t.limit > 0 && t.open >= t.limit:
		return false
	case len(t.free) > 0:
		i = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
	case len(t.slots) < MaxStreams:
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	default:
		return false
	}
	sl := &t.slots[i]
	if sl.gen++; sl.gen == 0 {
		sl.gen = 1 // after four billion streams, which one busy caller needs some hours for
	}
	sl.s = s
	s.id = uint64(sl.gen)<<32 | uint64(i)
	t.open++
	t.opened++
	return true
}

// put enters a stream under the number that the peer gave it. It is the acceptor's way in.
func (t *table) put(s *Stream) error {
	i := slotOf(s.id)
	if i >= MaxStreams || s.id>>32 == 0 {
		return violation("stream %#x", s.id)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(i) >= len(t.slots) {
		t.slots = append(t.slots, make([]slot, int(i)+1-len(t.slots))...)
	}
	if t.slots[i].s != nil {
		return violation("stream %#x opened over another", s.id)
	}
	t.slots[i].s = s
	t.open++
	t.opened++
	return nil
}

// find is the stream with a number, or nil.
func (t *table) find(id uint64) *Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slotOf(id); int(i) < len(t.slots) {
		if s := t.slots[i].s; s != nil && s.id == id {
			return s
		}
	}
	return nil
}

// remove takes a stream out, and lets others have its slot. It tells whether it was in.
func (t *table) remove(s *Stream) bool {
	if !t.take(s) {
		return false
	}
	if s.ours {
		t.reuse(s)
	}
	return true
}

// take takes a stream out but keeps its slot from others. It tells whether it was in.
func (t *table) take(s *Stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slotOf(s.id)
	if int(i) >= len(t.slots) || t.slots[i].s != s {
		return false
	}
	t.slots[i].s = nil
	t.open--
	return true
}

// reuse lets others have the slot of a stream that was taken out. It is the opener's.
func (t *table) reuse(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free = append(t.free, slotOf(s.id))
	if len(t.waiting) > 0 {
		t.admitLocked()
	}
}

// all is every stream.
func (t *table) all() []*Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*Stream, 0, t.open)
	for _, sl := range t.slots {
		if sl.s != nil {
			all = append(all, sl.s)
		}
	}
	return all
}
