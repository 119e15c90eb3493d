package direct

import "sync"

// Flow control is by credit: a sender may send what it was granted, and a receiver
// grants what it has memory for.
//
// A stream starts with a grant of firstWindow bytes, and gets back what its reader
// takes. A message costs messageCost beyond its length, so that empty ones are bounded
// too. More is lent from the connection's pool, to streams whose reader is waiting:
//
//   - the rest of a message that the grant can't hold, as a whole or not at all,
//     first come first served: two half received messages must not wait for each
//     other's room;
//   - a larger window, doubled up to maxWindow each time the reader finds nothing
//     although it took a whole window. A stream keeps that as long as it lives, so it
//     is not taken from what messages are lent.
//
// So a connection holds at most streams × firstWindow + 2 × poolSize bytes of messages; more
// by what a single message has beyond poolSize. [Buffers] takes up to twice that.
const (
	firstWindow = 64<<10 + 4<<10 // a message of 64 KiB with a little around it
	maxWindow   = 1 << 20
	poolSize    = 16 << 20 // for messages, and the same for windows
	messageCost = 32
)

// inbox is the receiving side of a stream's messages.
type inbox struct {
	queue []Message
	first int        // index in queue of the next one to take
	space [1]Message // queue's memory as long as that is enough, as for unary calls

	part   partial
	limit  int   // bytes that a message may have
	err    error // after the queue
	always bool  // somebody will read, as soon as the message is there

	reading bool // somebody waits in Recv
	closed  bool // what comes in is dropped

	window  int // what the reader's share is
	granted int // bytes that the peer may still send
	freed   int // taken by the reader and not granted again
	grown   int // of window, lent by the pool
	lent    int // for the message that is coming in, lent by the pool
	asked   bool
	taken   int // since window grew
}

// partial is a message that is coming in.
type partial struct {
	buf    *[]byte
	total  int
	have   int
	packed bool
	active bool
	skip   bool // too large: its bytes are dropped
}

func (in *inbox) init(limit int, always bool) {
	in.limit, in.always = limit, always
	in.window, in.granted = firstWindow, firstWindow
	in.queue = in.space[:0]
}

func (in *inbox) push(m Message) {
	if in.closed {
		m.Free()
		return
	}
	in.queue = append(in.queue, m)
}

// drop frees what the reader has not taken.
func (in *inbox) drop() {
	for m, ok := in.pop(); ok; m, ok = in.pop() {
		m.Free()
	}
}

// close lets nothing more in, and tells how much of the pool's was lent.
func (in *inbox) close() (lent, grown int) {
	in.closed = true
	if in.part.buf != nil {
		Buffers.Put(in.part.buf)
		in.part.buf, in.part.skip = nil, true
	}
	lent, grown = in.lent, in.grown
	in.lent, in.grown = 0, 0
	return lent, grown
}

func (in *inbox) pop() (Message, bool) {
	if in.first == len(in.queue) {
		return Message{}, false
	}
	m := in.queue[in.first]
	in.queue[in.first] = Message{}
	in.first++
	if in.first == len(in.queue) {
		in.queue, in.first = in.queue[:0], 0
	}
	return m, true
}

// begin starts a message.
func (in *inbox) begin(total int, packed bool) error {
	if in.part.active {
		return violation("message begun inside another")
	}
	if in.granted < messageCost {
		return violation("message without credit")
	}
	in.granted -= messageCost
	in.part = partial{total: total, packed: packed, active: true}
	if in.closed {
		in.part.skip = true
	}
	if total > in.limit {
		in.part.skip = true
		if in.err == nil {
			in.err = &MessageTooLargeError{Size: total, Limit: in.limit}
		}
	}
	return nil
}

// add takes bytes of the message that is coming in. It returns true when that is complete.
func (in *inbox) add(b []byte) (bool, error) {
	p := &in.part
	if !p.active || len(b) > p.total-p.have {
		return false, violation("%d bytes beyond a message of %d", len(b), p.total)
	}
	if len(b) > in.granted {
		return false, violation("%d bytes of message with credit for %d", len(b), in.granted)
	}
	if !p.skip {
		p.room(len(b), in.granted)
		copy((*p.buf)[p.have:], b)
	}
	in.granted -= len(b)
	p.have += len(b)
	if p.have < p.total {
		return false, nil
	}
	p.active = false
	if !p.skip {
		in.push(Message{Packed: p.packed, buf: p.buf})
	}
	p.buf = nil
	return true, nil
}

// room makes room for n bytes: for all of the message that has been granted.
func (p *partial) room(n, granted int) {
	if p.buf != nil && len(*p.buf) >= p.have+n {
		return
	}
	b := Buffers.Get(min(p.total, p.have+granted))
	if p.buf != nil {
		copy(*b, (*p.buf)[:p.have])
		Buffers.Put(p.buf)
	}
	p.buf = b
}

// want is how many bytes a waiting reader needs beyond what is granted, to be asked of the
// pool. It is 0 if nothing is missing or it was asked already.
func (in *inbox) want() int {
	p := &in.part
	if !p.active || p.skip || in.asked || !(in.always || in.reading) {
		return 0
	}
	missing := p.total - p.have - in.granted
	if missing <= 0 {
		return 0
	}
	in.asked = true
	return missing
}

// consumed is told that the reader took a message that had cost n bytes. It tells how many
// bytes go back to the pool, and how many to grant to the peer.
func (in *inbox) consumed(n int) (repay, credit int) {
	if in.closed {
		return 0, 0
	}
	repay = min(n, in.lent)
	in.lent -= repay
	in.taken += n
	in.freed += n - repay
	if in.freed >= in.window/2 {
		credit = in.freed
		in.granted += credit
		in.freed = 0
	}
	return repay, credit
}

// grow tells whether a larger window would help: the reader found nothing although it
// has taken a window's worth.
func (in *inbox) grow() (more int) {
	if in.always || in.window >= maxWindow || in.taken < in.window {
		return 0
	}
	in.taken = 0
	return in.window
}

// grant gives the peer more credit, from the pool. message says for what.
func (in *inbox) grant(n int, message bool) {
	in.granted += n
	if message {
		in.lent += n
		in.asked = false
		return
	}
	in.window += n
	in.grown += n
}

// pool is what a connection lends to its streams.
type pool struct {
	mu      sync.Mutex
	free    int // for messages
	windows int // for windows
	queue   []ask
}

type ask struct {
	s *Stream
	n int
}

// fits tells whether n bytes can be lent. More than the pool has is lent when nothing else
// is.
func (p *pool) fits(n int) bool { return p.free >= min(n, poolSize) }

// widen borrows n bytes for a window.
func (p *pool) widen(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.windows < n {
		return false
	}
	p.windows -= n
	return true
}

// take borrows n bytes, or queues s for them.
func (p *pool) take(s *Stream, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 || !p.fits(n) {
		p.queue = append(p.queue, ask{s, n})
		return false
	}
	p.free -= n
	return true
}

// put gives n bytes back and grants those in the queue that now fit.
func (p *pool) put(n int) {
	p.mu.Lock()
	p.free += n
	granted := p.serve()
	p.mu.Unlock()
	for _, a := range granted {
		a.s.lend(a.n, true)
	}
}

// serve takes those off the queue that can be granted. Called with p.mu locked.
func (p *pool) serve() []ask {
	n := 0
	for n < len(p.queue) && p.fits(p.queue[n].n) {
		p.free -= p.queue[n].n
		n++
	}
	granted := p.queue[:n:n]
	p.queue = p.queue[n:]
	return granted
}

// forget takes a stream that has ended out of the queue, and its loans back.
func (p *pool) forget(s *Stream, lent, grown int) {
	p.mu.Lock()
	p.free += lent
	p.windows += grown
	for i, a := range p.queue {
		if a.s == s {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			break
		}
	}
	granted := p.serve()
	p.mu.Unlock()
	for _, a := range granted {
		a.s.lend(a.n, true)
	}
}

// borrow asks the pool for what a message that is coming in misses, and for more of a
// window. Without the former the reader would wait for ever, so it queues for that.
func (s *Stream) borrow(missing, more int) {
	if missing > 0 && s.c.pool.take(s, missing) {
		s.lend(missing, true)
	}
	if more > 0 && s.c.pool.widen(more) {
		s.lend(more, false)
	}
}

// lend grants n bytes that the pool lent, or gives them back if the stream has ended.
func (s *Stream) lend(n int, message bool) {
	s.mu.Lock()
	if s.inbox.closed {
		s.mu.Unlock()
		if message {
			s.c.pool.forget(s, n, 0)
		} else {
			s.c.pool.forget(s, 0, n)
		}
		return
	}
	s.inbox.grant(n, message)
	s.mu.Unlock()
	s.control(kindCredit, uint64(n))
}

// settle does what consumed asked for.
func (s *Stream) settle(repay, credit int) {
	if repay > 0 {
		s.c.pool.put(repay)
	}
	if credit > 0 {
		s.control(kindCredit, uint64(credit))
	}
}
