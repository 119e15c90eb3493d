package link

import (
	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// arrival is a large payload that is being received.
type arrival struct {
	flow    *flow
	size    int64
	got     int64
	data    []byte
	wanted  bool // it waits for room in the pool, or has it
	admit   bool // the pool has room for all of it
	discard bool // nobody wants it any more; it is counted and dropped
	done    func(*arrival)
}

// held is the room of the pool that a complete arrival takes.
func (a *arrival) held() int64 {
	if a.admit && !a.discard {
		return a.size
	}
	return 0
}

// pool is the room for large payloads.
type pool struct {
	free    int64
	waiting []*arrival
}

// arrive begins to receive a large payload for a call. Done is called, with mu
// held, when all of it has come, even if it has been given up meanwhile. Arrive
// is called with mu held.
func (l *Link) arrive(f *flow, size int64, done func(*arrival)) {
	f.arriving = &arrival{flow: f, size: size, done: done}
}

// expect is arrive for a payload that is wanted at once.
func (l *Link) expect(f *flow, size int64, done func(*arrival)) {
	l.arrive(f, size, done)
	l.want(f.arriving)
}

// want lets an arrival wait for room.
func (l *Link) want(a *arrival) {
	if a.discard {
		return
	}
	a.wanted = true
	l.pool.waiting = append(l.pool.waiting, a)
	l.admit()
}

// admit gives room to those who wait for it, first come first served, and
// credit for all that they haven't sent.
func (l *Link) admit() {
	for len(l.pool.waiting) > 0 {
		a := l.pool.waiting[0]
		if a.size > l.pool.free {
			return
		}
		l.pool.free -= a.size
		l.pool.waiting = l.pool.waiting[1:]
		a.admit = true
		l.creditRest(a)
	}
}

// creditRest lets the peer send the rest of a payload, beyond what its window
// allows already. The pieces of a payload may each cost more than their bytes,
// the last one does if it is tiny: hence one minCost more.
func (l *Link) creditRest(a *arrival) {
	rest := a.size - a.got + minCost
	if more := rest - a.flow.recvWindow; more > 0 {
		a.flow.recvWindow += more
		l.queue(creditFrame(a.flow.id, more), nil)
	}
}

// release returns room to the pool.
func (l *Link) release(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pool.free += size
	l.admit()
}

// giveUp makes an arrival one that is only counted. The peer still gets credit,
// for it has no way to stop in the middle.
func (l *Link) giveUp(a *arrival) {
	if a == nil || a.discard {
		return
	}
	a.discard = true
	a.data = nil
	if a.admit {
		l.pool.free += a.size
		l.admit()
		return
	}
	l.unlist(a)
	l.creditRest(a)
}

// unlist makes an arrival wait for room no longer.
func (l *Link) unlist(a *arrival) {
	for i, w := range l.pool.waiting {
		if w == a {
			l.pool.waiting = append(l.pool.waiting[:i], l.pool.waiting[i+1:]...)
			return
		}
	}
}

// chunk takes one piece of a payload. It is called with mu held.
func (l *Link) chunk(f *flow, data []byte) error {
	n := int64(len(data))
	if n == 0 || n > MaxInline {
		return violation("a chunk of %d bytes", n)
	}
	cost := max(n, minCost)
	if l.recvWindow -= cost; l.recvWindow < 0 {
		return violation("it sent more than the link's window")
	}
	l.returnCredit(cost)
	if f == nil {
		return nil // the rest of a call that is over
	}
	a := f.arriving
	if a == nil {
		return violation("a chunk for call %d, which awaits none", f.id)
	}
	if f.recvWindow -= cost; f.recvWindow < 0 {
		return violation("it sent more than the window of call %d", f.id)
	}
	if a.got += n; a.got > a.size {
		return violation("more bytes for call %d than it announced", f.id)
	}
	if !a.discard {
		a.grow()
		a.data = append(a.data, data...)
	}
	if a.got == a.size {
		f.arriving = nil
		l.unlist(a) // all of it fitted into the window
		a.done(a)
		l.admit()
	}
	return nil
}

// grow makes room for the whole payload once, when there is room in the pool.
func (a *arrival) grow() {
	if a.admit && int64(cap(a.data)) < a.size {
		a.data = append(make([]byte, 0, a.size), a.data...)
	}
}

// returnCredit gives the link's window back in large portions. What has been
// received doesn't wait in the link: it is in a payload with room of its own.
func (l *Link) returnCredit(n int64) {
	l.returned += n
	if l.returned < l.cfg.Limits.LinkWindow/2 {
		return
	}
	l.recvWindow += l.returned
	l.queue(creditFrame(0, l.returned), nil)
	l.returned = 0
}

func creditFrame(id uint64, n int64) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Credit{Credit: &carpv1.Credit{Bytes: uint64(n)}}}
}
