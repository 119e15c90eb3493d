package direct

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"
)

// Stream is one call. One goroutine may send on it while another receives.
type Stream struct {
	c    *Conn
	id   uint64
	ours bool // opened by this end

	req    Request // of a served stream, as is method
	method *Method

	mu    sync.Mutex
	inbox inbox
	block []byte        // a block whose rest is still to come
	rwake chan struct{} // of Recv
	hwake chan struct{} // of Header
	swake chan struct{} // of Send

	credit  int // bytes that may be sent
	header  metadata.MD
	trailer Trailer
	have    have
	err     error    // why nothing more will come, before ended and trailer are of use
	notify  Canceler // of a served stream

	returned bool // of the goroutine that serves it
}

// have says what has come of a stream.
type have uint8

const (
	haveRequest have = 1 << iota // the request block is complete
	haveHeader
	haveEnd     // the peer sends no further message
	haveTrailer // nor anything else
	sentHeader
	sentTrailer
)

var (
	// ErrCanceled is the reason of a stream that the peer gave up.
	ErrCanceled = errors.New("stream canceled by the peer")

	// ErrRefused is the reason of a stream that the peer did not take: the request
	// was not looked at and may be sent again.
	ErrRefused = errors.New("stream refused by the peer")

	// ErrTooLarge says that a request, header or trailer is larger than MaxBlock.
	ErrTooLarge = errors.New("metadata above the limit")

	// ErrGoAway says that the peer wants no further streams.
	ErrGoAway = errors.New("the peer takes no further calls")
)

// MessageTooLargeError says that a message was larger than the stream's limit. Its bytes were
// dropped.
type MessageTooLargeError struct{ Size, Limit int }

func (e *MessageTooLargeError) Error() string {
	return "message larger than the limit"
}

// Values of a cancel frame.
const (
	cancelPlain   = 0
	cancelRefused = 1 // no handler saw the request
)

func (s *Stream) is(h have) bool { return s.have&h == h }

// mark is the flag of frames about s, as its peer sees them.
func (s *Stream) mark() flags {
	if s.ours {
		return 0
	}
	return flagFromIn
}

// control writes a control frame about s.
func (s *Stream) control(k kind, value uint64) {
	s.c.control(k, s.mark(), s.id, value)
}

// Conn is the stream's connection.
func (s *Stream) Conn() *Conn { return s.c }

// waker is *w, made at its first use. Called with s.mu locked.
func waker(w *chan struct{}) chan struct{} {
	if *w == nil {
		*w = wakers.Get().(chan struct{})
	}
	return *w
}

// wakers keeps channels for the next stream. A token may come late, to the channel's next
// user: who waits looks what there is when it wakes up, and waits on.
var wakers = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

// rouse wakes whoever waits on w, if somebody ever did. Called by the holder of the lead.
func (s *Stream) rouse(w chan struct{}) {
	if w != nil {
		s.c.rouse(w)
	}
}

// Recv takes the next message. It returns [io.EOF] after the last one, and why the
// stream or the wait ended otherwise: ctx's error, a [*MessageTooLargeError], or the
// connection's reason. A stream that we opened has its Trailer when Recv returned
// io.EOF.
func (s *Stream) Recv(ctx context.Context) (Message, error) {
	s.mu.Lock()
	for {
		m, err := s.next()
		if err != nil || m.buf != nil {
			s.mu.Unlock()
			return m, err
		}
		s.inbox.reading = true
		missing, more := s.inbox.want(), s.inbox.grow()
		wake := waker(&s.rwake)
		s.mu.Unlock()
		s.borrow(missing, more)
		err = s.c.sleep(ctx, wake, s.inbox.always)
		s.mu.Lock()
		s.inbox.reading = false
		if err != nil {
			return s.last(err)
		}
	}
}

// next is the message that is there, or why there will be none. Called with s.mu
// locked; it is unlocked meanwhile if room has to be given back.
func (s *Stream) next() (Message, error) {
	in := &s.inbox
	if m, ok := in.pop(); ok {
		repay, credit := in.consumed(len(m.Bytes()) + messageCost)
		if repay > 0 || credit > 0 {
			s.mu.Unlock()
			s.settle(repay, credit)
			s.mu.Lock()
		}
		return m, nil
	}
	switch {
	case in.err != nil:
		return Message{}, in.err
	case s.err != nil:
		return Message{}, s.err
	case s.is(haveTrailer), !s.ours && s.is(haveEnd):
		return Message{}, io.EOF
	}
	return Message{}, nil
}

// last is what Recv returns when its wait ended: what came before that still counts.
// It is called with s.mu locked, and unlocks it.
func (s *Stream) last(err error) (Message, error) {
	defer s.mu.Unlock()
	if m, nerr := s.next(); nerr != nil || m.buf != nil {
		return m, nerr
	}
	return Message{}, err
}

// Header waits for the peer's header. It is nil if there is none.
func (s *Stream) Header(ctx context.Context) (metadata.MD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.is(haveHeader) && !s.is(haveTrailer) {
		if s.err != nil {
			return nil, s.err
		}
		wake := waker(&s.hwake)
		s.mu.Unlock()
		err := s.c.sleep(ctx, wake, false)
		s.mu.Lock()
		if err != nil && !s.is(haveHeader) && !s.is(haveTrailer) {
			return nil, err
		}
	}
	return s.header, nil
}

// HasHeader tells whether the peer's header has come, or never will.
func (s *Stream) HasHeader() (metadata.MD, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header, s.is(haveHeader)
}

// Trailer is how the peer ended the stream. It fails while the peer hasn't.
func (s *Stream) Trailer() (*Trailer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.trailer, s.is(haveTrailer)
}

// Send sends a message; end says that it is the last. It waits for the peer to make
// room, but not for it to read. It fails with [io.EOF] if the stream has ended: Recv tells
// how. data may be used again when Send returned.
func (s *Stream) Send(ctx context.Context, data []byte, packed, end bool) error {
	h := header{kind: kindMessage, flags: s.mark() | flagFirst, stream: s.id}
	if packed {
		h.flags |= flagPacked
	}
	var length [binary.MaxVarintLen64]byte
	prefix := binary.AppendUvarint(length[:0], uint64(len(data)))
	cost := messageCost
	for {
		n, err := s.spend(ctx, cost, min(len(data), maxTurn))
		if err != nil {
			return err
		}
		part := data[:n]
		data = data[n:]
		if err := s.c.send(ctx, frames{header: h, a: prefix, b: part, end: end && len(data) == 0}); err != nil {
			return err
		}
		if len(data) == 0 {
			return nil
		}
		h.flags &^= flagFirst
		prefix, cost = nil, 0
	}
}

// maxTurn is how much of a message is sent in one turn: more would keep others waiting for long,
// and less would make large messages change turns, which takes a wake-up each time.
const maxTurn = 256 << 10

// CloseSend says that no further message will be sent.
func (s *Stream) CloseSend(ctx context.Context) error {
	s.mu.Lock()
	ended := s.is(haveTrailer) || s.err != nil
	s.mu.Unlock()
	if ended {
		return nil // nobody wants to know any more
	}
	return s.c.send(ctx, frames{header: header{kind: kindMessage, flags: s.mark() | flagEnd, stream: s.id}})
}

// spend takes cost and up to want bytes off the stream's credit, waiting for at least
// one byte's worth.
func (s *Stream) spend(ctx context.Context, cost, want int) (int, error) {
	s.mu.Lock()
	for {
		if s.is(haveTrailer) || s.err != nil {
			s.mu.Unlock()
			return 0, io.EOF
		}
		if s.credit >= cost+min(want, 1) {
			n := min(want, s.credit-cost)
			s.credit -= cost + n
			s.mu.Unlock()
			return n, nil
		}
		wake := waker(&s.swake)
		s.mu.Unlock()
		if err := s.c.sleep(ctx, wake, true); err != nil {
			return 0, err
		}
		s.mu.Lock()
	}
}

// Cancel gives a stream up: nothing more will be received, and the peer is told unless
// it has ended the stream itself. reason is what Recv returns then, after the messages that
// have come. It is for the end that opened the stream.
func (s *Stream) Cancel(reason error) {
	if !s.c.out.take(s) {
		s.giveBack(false)
		return
	}
	s.control(kindCancel, cancelPlain) // before the request of the slot's next stream
	s.c.out.reuse(s)
	s.stop(reason)
}

// stop ends a stream on this side, for a reason.
func (s *Stream) stop(reason error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = reason
	}
	wakes := [...]chan struct{}{s.rwake, s.hwake, s.swake}
	notify := s.notify
	s.notify = nil
	s.dropBlock()
	s.mu.Unlock()
	for _, wake := range wakes {
		if wake != nil {
			signal(wake)
		}
	}
	s.giveBack(!s.ours)
	if notify != nil {
		notify.Canceled()
	}
}

// Release frees what the stream still holds of messages, when nobody will take
// them any more.
func (s *Stream) Release() { s.giveBack(true) }

// giveBack gives back what the stream has of the connection's; nothing more comes in. What
// came before stays for the reader of a stream that we opened and that ended early, but for
// all: then nobody will read.
func (s *Stream) giveBack(all bool) {
	s.mu.Lock()
	lent, grown := s.inbox.close()
	if all {
		s.inbox.drop()
	}
	asked := s.inbox.asked
	s.mu.Unlock()
	if lent > 0 || grown > 0 || asked {
		s.c.pool.forget(s, lent, grown)
	}
}

// Recycle is Release for a stream that nobody will touch again.
func (s *Stream) Recycle() {
	s.Release()
	s.mu.Lock()
	wake := s.rwake
	s.rwake = nil
	s.mu.Unlock()
	if wake != nil {
		wakers.Put(wake)
	}
}

// abandon ends a served stream because its connection has ended.
func (s *Stream) abandon(reason error) { s.stop(reason) }
