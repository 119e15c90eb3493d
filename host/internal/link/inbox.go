package link

import (
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// A Message is one message of a stream.
type Message struct {
	Data []byte
	link *Link
	held int64 // what it takes of the link's pool
}

// Free gives up the message, whose bytes must not be used after that. It is
// called once, and before its holder waits for the peer again: the room that
// messages take is shared by all calls, and two ends whose handlers hold theirs
// while they wait for the other's would wait for ever.
func (m *Message) Free() {
	if m.held > 0 {
		m.link.release(m.held)
	}
}

// inbox holds the messages of a call that have arrived until they are taken. It
// is guarded by Link.mu.
type inbox struct {
	open   bool // items may come
	items  []Message
	queued int64 // what those cost that hold no room of the pool
	err    error // what ends them: io.EOF, or why there are no more
	// ready holds one token when something has changed for who waits.
	ready chan struct{}
}

func newInbox() inbox { return inbox{open: true, ready: make(chan struct{}, 1)} }

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// close ends the messages, after those that are there. Only the first close has
// an effect.
func (b *inbox) close(err error) {
	if b.ready == nil || b.err != nil {
		return
	}
	b.err = err
	b.signal()
}

func costOf(n int) int64 { return int64(max(n, minCost)) }

// receiveItem takes an item, or the announcement of a large one. It is called
// with mu held.
func (l *Link) receiveItem(id uint64, it *carpv1.Item) error {
	size := it.GetPayloadSize()
	if err := checkInline(len(it.GetPayload()), size); err != nil {
		return err
	}
	cost := costOf(len(it.GetPayload()))
	if l.recvWindow <= 0 {
		return violation("it sent more than the link's window")
	}
	l.recvWindow -= cost
	l.returnCredit(cost)
	f := l.flow(id)
	if f == nil {
		return nil // of a call that is over
	}
	if f.arriving != nil {
		return violation("an item of call %d inside of another payload", id)
	}
	if f.recvWindow <= 0 {
		return violation("it sent more than the window of call %d", id)
	}
	f.recvWindow -= cost
	switch {
	case !f.inbox.open:
		return violation("an item for call %d, which takes none", id)
	case f.inbox.err != nil: // nobody wants it any more
		if size > 0 {
			l.skip(f, int64(size))
		}
	case size > uint64(l.cfg.Limits.MaxPayload):
		f.inbox.close(status.Errorf(codes.ResourceExhausted, "a message of %d bytes, at most %d are taken", size, l.cfg.Limits.MaxPayload))
		l.skip(f, int64(size))
	case size > 0:
		l.expectItem(f, int64(size))
	default:
		f.inbox.items = append(f.inbox.items, Message{Data: it.GetPayload(), link: l})
		f.inbox.queued += cost
		f.inbox.signal()
	}
	return nil
}

// checkInline checks the payload of a frame that may have a large one behind it.
func checkInline(n int, size uint64) error {
	switch {
	case n > MaxInline || n > 0 && size > 0:
		return violation("a payload of %d bytes in one frame", n)
	case size > maxWindow:
		return violation("a payload of %d bytes", size)
	}
	return nil
}

// expectItem begins to receive a large item. It gets room when it is waited for.
func (l *Link) expectItem(f *flow, size int64) {
	l.arrive(f, size, func(a *arrival) {
		if a.discard {
			return
		}
		m := Message{Data: a.data, link: l, held: a.held()}
		if m.held == 0 {
			f.inbox.queued += costOf(len(m.Data))
		}
		f.inbox.items = append(f.inbox.items, m)
		f.inbox.signal()
	})
	f.inbox.signal()
}

// skip receives a large item that nobody wants.
func (l *Link) skip(f *flow, size int64) {
	l.arrive(f, size, func(*arrival) {})
	l.giveUp(f.arriving)
}

// receiveEnd is called with mu held.
func (l *Link) receiveEnd(id uint64) error {
	c := l.serving[id]
	if c == nil {
		return nil
	}
	if !c.inbox.open || c.arriving != nil {
		return violation("an end of call %d that is none", id)
	}
	c.inbox.open = false
	c.inbox.close(io.EOF)
	return nil
}

// take returns the next message, or why there is none. With neither, the caller
// waits for the inbox to be ready.
func (l *Link) take(f *flow) (Message, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &f.inbox
	if len(b.items) == 0 {
		if b.err != nil {
			return Message{}, false, b.err
		}
		if a := f.arriving; a != nil && !a.wanted {
			l.want(a)
		}
		return Message{}, false, nil
	}
	m := b.items[0]
	b.items[0] = Message{}
	b.items = b.items[1:]
	if m.held == 0 {
		b.queued -= costOf(len(m.Data))
	}
	l.returnCallCredit(f)
	return m, true, nil
}

// returnCallCredit gives a call's window back in large portions.
func (l *Link) returnCallCredit(f *flow) {
	if f.arriving != nil || f.inbox.err != nil {
		return // what arrives gets credit of its own, what is over none
	}
	window := l.cfg.Limits.CallWindow
	if owed := window - f.recvWindow - f.inbox.queued; owed >= window/2 {
		f.recvWindow += owed
		l.queue(creditFrame(f.id, owed), nil)
	}
}

// dropInbox forgets what has arrived and nobody takes any more. It is called with mu
// held.
func (l *Link) dropInbox(f *flow, err error) {
	f.inbox.close(err)
	l.unhold(&f.inbox)
	f.inbox.items, f.inbox.queued = nil, 0
	l.giveUp(f.arriving)
}

// unhold gives back the room that messages hold when their call is over: who was
// to take them may be gone. It is called with mu held.
func (l *Link) unhold(b *inbox) {
	for i := range b.items {
		l.pool.free += b.items[i].held
		b.items[i].held = 0
	}
	l.admit()
}
