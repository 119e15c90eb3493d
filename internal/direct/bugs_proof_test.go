package direct

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// One test for each fault that was found in this package, with its story.

// finish ends a stream well.
func finish(s *Stream) { s.Finish(context.Background(), nil, Answer{}, &Trailer{}) }

// TestSlotAfterCancel: a stream's slot was free for the next stream before the cancel frame
// was written. The next one's request could come first, and to the peer it was a
// request in a slot in use.
func TestSlotAfterCancel(t *testing.T) {
	leak.Check(t)
	c, p := raw(t, 64<<10, Options{})
	s, err := c.Open(t.Context(), &Request{Method: "/first"}, &OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := p.receive(kindRequest)
	// The cancel waits for its turn at the ring.
	c.w.mu.Lock()
	canceled := make(chan struct{})
	go func() {
		defer close(canceled)
		s.Cancel(context.Canceled)
	}()
	p.until("the stream's end", func() bool { return c.out.find(s.id) == nil })
	next := &Stream{c: c, ours: true}
	if e, err := c.out.add(next); e != nil || err != nil {
		t.Fatal("no slot")
	}
	if slotOf(next.id) == slotOf(first.stream) {
		t.Error("the slot is used again while its cancel has not been written")
	}
	c.w.mu.Unlock()
	p.await("Cancel", canceled)
	c.out.remove(next)
	if f := p.receive(kindCancel); f.stream != first.stream {
		t.Errorf("cancel of %#x, want %#x", f.stream, first.stream)
	}
}

// TestOwedCancelComesFirst: with the ring full to the brim a cancel frame is kept for later;
// what was sent next, when the peer had made room, was written before it.
func TestOwedCancelComesFirst(t *testing.T) {
	leak.Check(t)
	c, p := raw(t, 4<<10, Options{})
	s, err := c.Open(t.Context(), &Request{Method: "/first"}, &OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.receive(kindRequest)
	c.w.mu.Lock()
	for {
		ok, err := c.w.put(header{kind: kindPong}, make([]byte, 8), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
	}
	c.w.mu.Unlock()
	s.Cancel(context.Canceled)
	// Nobody is told of the room: the connection finds it when it writes.
	c.w.tx.Retract()
	for {
		f, ok := p.poll()
		if !ok {
			break
		}
		if f.kind == kindCancel {
			return // the connection's own goroutine was quicker than the next call
		}
	}
	if _, err := c.Open(t.Context(), &Request{Method: "/second"}, &OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	p.until("a frame", func() bool {
		f, ok := p.poll()
		if ok && f.kind == kindRequest {
			t.Fatal("the request came before the cancel of the slot's last stream")
		}
		return ok && f.kind == kindCancel
	})
}

// TestCancelChurn: streams that are opened and canceled from many goroutines at once, both
// with the room of a small ring.
func TestCancelChurn(t *testing.T) {
	leak.Check(t)
	a, b := rawSessions(t, 4<<10)
	srv, err := New(b, Options{Handler: serve(false, func(s *Stream) {
		_, _ = s.Recv(context.Background())
		finish(s)
	})})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(a, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 300 {
				s, err := c.Open(context.Background(), &Request{Method: "/m"}, &OpenOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				s.Cancel(context.Canceled)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(c.Err(), srv.Err()); err != nil {
		t.Error(err)
	}
	c.Close()
	<-c.Gone()
	<-srv.Gone()
}

// TestBlocksOfCanceledStreams: what was kept of unfinished blocks was counted for ever, also of
// streams that had been canceled.
func TestBlocksOfCanceledStreams(t *testing.T) {
	leak.Check(t)
	c, p := raw(t, 256<<10, Options{Handler: serve(false, finish)})
	part := make([]byte, p.w.most)
	for slot := range uint64(maxBlocks/len(part) + 100) {
		id := 1<<32 | slot
		p.frame(header{kind: kindRequest, flags: flagMore, stream: id}, part)
		p.control(kindCancel, 0, id, cancelPlain)
	}
	p.alive(c)
	if n := c.in.count(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

// TestGrownWindowsLeaveThePoolAlone: windows that grew were lent from what messages are lent
// from, and for as long as their streams lived. A few streams that had been busy once
// kept all others from messages of more than a window.
func TestGrownWindowsLeaveThePoolAlone(t *testing.T) {
	leak.Check(t)
	release := make(chan struct{})
	var grown atomic.Int32
	c, p := raw(t, 256<<10, Options{Handler: serve(false, func(s *Stream) {
		defer finish(s)
		for {
			s.mu.Lock()
			s.inbox.taken = s.inbox.window // it was busy
			more := s.inbox.grow()
			before := s.inbox.window
			s.mu.Unlock()
			if more > 0 {
				s.borrow(0, more)
			}
			s.mu.Lock()
			done := s.inbox.window == before
			s.mu.Unlock()
			if done {
				break
			}
		}
		grown.Add(1)
		<-release
	})})
	defer close(release)
	for range 20 {
		p.request("/busy", 0, nil)
	}
	p.until("windows to grow", func() bool { return grown.Load() == 20 })
	c.pool.mu.Lock()
	ok := c.pool.fits(poolSize + 1)
	c.pool.mu.Unlock()
	if !ok {
		t.Error("a large message can't be lent what it needs although no other message is coming in")
	}
}

// TestLeaderSeesItsOwnEnd: a goroutine that reads for all did not notice that its own stream had
// been canceled while there was more and more to read for others.
func TestLeaderSeesItsOwnEnd(t *testing.T) {
	leak.Check(t)
	c, p := raw(t, 64<<10, Options{})
	s, err := c.Open(t.Context(), &Request{Method: "/m"}, &OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.receive(kindRequest)
	s.mu.Lock()
	wake := waker(&s.rwake)
	s.mu.Unlock()
	p.until("the lead", func() bool { return c.lead.claim() })
	p.control(kindCancel, flagFromIn, s.id, cancelPlain)
	const others = 1000
	for range others {
		if !p.try(header{kind: kindPong}, make([]byte, 8)) {
			t.Fatal("the ring is too small")
		}
	}
	if !c.leadFor(t.Context(), wake) {
		t.Error("the leader didn't notice")
	}
	if n, _ := c.lead.rx.Len(1 << 30); n < others/2*32 {
		t.Errorf("%d bytes are left unread: the leader went on", n)
	}
	c.quitLead()
}

// canceled tells a channel.
type canceled chan struct{}

func (c canceled) Canceled() { close(c) }

// TestRequestWhileClosing: a request that the reader had in its hands while Close ended all
// streams was served by a handler that nobody ever told.
func TestRequestWhileClosing(t *testing.T) {
	leak.Check(t)
	told := make(canceled)
	c, p := raw(t, 64<<10, Options{Handler: serve(false, func(s *Stream) {
		s.OnCancel(told)
		<-told
	})})
	p.alive(c)
	p.until("the lead", func() bool { return c.lead.claim() })
	p.w.put(header{kind: kindRequest, stream: 1 << 32}, requestBlock(&Request{Method: "/m"}, nil), nil, 0)
	c.Close()
	// The reader was past its look at whether the connection ends.
	if n, _ := c.poll(1, false); n != 1 {
		t.Fatalf("read %d frames", n)
	}
	c.lead.state.Store(leadFree)
	p.await("the handler to be told", told)
}

// TestGoAwayIsToldOnce: each goaway frame started a goroutine.
func TestGoAwayIsToldOnce(t *testing.T) {
	leak.Check(t)
	var told atomic.Int32
	c, p := raw(t, 64<<10, Options{OnGoAway: func() { told.Add(1) }})
	for range 1000 {
		p.control(kindGoAway, 0, 0, 0)
	}
	p.alive(c)
	p.until("the news", func() bool { return told.Load() > 0 })
	if n := told.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestTinyPairsAreBounded: the number of pairs that a block of metadata claims was memory for
// so many entries of a map, half a gigabyte for a block of 16 MiB.
func TestTinyPairsAreBounded(t *testing.T) {
	for _, pairs := range []int{maxPairs + 1, MaxBlock/2 - 8} {
		block := append(binary.AppendUvarint(nil, uint64(pairs)), make([]byte, 2*pairs)...)
		f := fieldsOf(block)
		f.md()
		if err := f.done("metadata"); !errors.Is(err, ErrProtocol) {
			t.Errorf("%d pairs in a block: %v, want ErrProtocol", pairs, err)
		}
	}
	c, _ := raw(t, 64<<10, Options{})
	md := metadata.MD{"k": make([]string, maxPairs+1)}
	if _, err := c.Open(t.Context(), &Request{MD: md}, &OpenOptions{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open with %d pairs: %v, want ErrTooLarge", maxPairs+1, err)
	}
}

// TestOpenThatSentNothing: a call that did not even get its request into the ring left a cancel
// frame to be sent, one for each.
func TestOpenThatSentNothing(t *testing.T) {
	leak.Check(t)
	c, _ := raw(t, 4<<10, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var opened int
	for {
		c.w.mu.Lock()
		ok, err := c.w.put(header{kind: kindPong}, make([]byte, 100), nil, reserve)
		c.w.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		opened++
	}
	cancel()
	for range 1000 {
		if _, err := c.Open(ctx, &Request{Method: "/method"}, &OpenOptions{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Open: %v, want Canceled", err)
		}
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if n := len(c.w.owed); n > 0 {
		t.Errorf("%d control frames are owed for streams that the peer has never heard of", n)
	}
}

// TestGenerationsStartOver: after 4,294,967,295 streams in one slot the next one's generation was
// zero, which the peer took for a breach of the protocol.
func TestGenerationsStartOver(t *testing.T) {
	leak.Check(t)
	c, p := raw(t, 64<<10, Options{})
	for i, want := range []uint64{1, math.MaxUint32, 1, 2} {
		s, err := c.Open(t.Context(), &Request{Method: "/m"}, &OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if f := p.receive(kindRequest); f.stream>>32 != want {
			t.Errorf("stream %d has generation %d, want %d", i, f.stream>>32, want)
		}
		s.Cancel(context.Canceled)
		p.receive(kindCancel)
		if i == 0 {
			c.out.mu.Lock()
			c.out.slots[slotOf(s.id)].gen = math.MaxUint32 - 1
			c.out.mu.Unlock()
		}
	}
}
