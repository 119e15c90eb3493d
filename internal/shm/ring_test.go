package shm

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
)

// memRing is a ring of the smallest kind there can be, in ordinary memory, where the
// race detector sees its words.
func memRing(capacity int) (*Producer, *Consumer) {
	w := ringWordsAt(make([]byte, ringWords), 0)
	buf := make([]byte, capacity)
	p, c := newProducer(w, buf), newConsumer(w, buf)
	return &p, &c
}

// startAt moves an empty ring on, as if n bytes had gone through it. It won't be rewound.
func startAt(p *Producer, c *Consumer, n uint64) {
	p.tail, p.head, c.tail, c.head = n, n, n, n
	p.look = n + 1<<62
	p.w.tail.Store(n)
	p.w.head.Store(n)
}

func count(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func TestWrapAtEveryOffset(t *testing.T) {
	const capacity = 16
	p, c := memRing(capacity)
	for offset := range uint64(capacity) {
		for n := 1; n <= capacity; n++ {
			startAt(p, c, offset)
			want := count(n, byte(offset))
			if got, err := p.Write(want); got != n || err != nil {
				t.Fatalf("at %d: Write of %d bytes = %d, %v", offset, n, got, err)
			}
			got := make([]byte, n+1)
			if m, err := c.Read(got); m != n || err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("at %d: read %d, %v, % x, want % x", offset, m, err, got[:m], want)
			}
		}
	}
}

func TestPiecesInPlace(t *testing.T) {
	const capacity = 16
	p, c := memRing(capacity)
	for offset := range uint64(capacity) {
		startAt(p, c, offset)
		want := count(capacity, 1)
		a, b := p.Space(capacity)
		if wantA := capacity - int(offset); len(a) != wantA || cap(a) != wantA || len(a)+len(b) != capacity {
			t.Fatalf("at %d: pieces of %d (capacity %d) and %d bytes", offset, len(a), cap(a), len(b))
		}
		copy(b, want[copy(a, want):])
		p.Publish(capacity)
		if n, err := c.Len(capacity); n != capacity || err != nil {
			t.Fatalf("at %d: Len = %d, %v", offset, n, err)
		}
		x, y := c.Bytes(capacity)
		if got := append(bytes.Clone(x), y...); !bytes.Equal(got, want) {
			t.Fatalf("at %d: % x, want % x", offset, got, want)
		}
		c.Consume(capacity)
	}
}

// The indices count for ever: their own overflow is no special case.
func TestIndicesOverflow(t *testing.T) {
	p, c := memRing(8)
	startAt(p, c, 1<<64-4)
	for i := range byte(16) {
		if n, err := p.Write([]byte{i}); n != 1 || err != nil {
			t.Fatalf("Write %d = %d, %v", i, n, err)
		}
		var got [2]byte
		if n, err := c.Read(got[:]); n != 1 || err != nil || got[0] != i {
			t.Fatalf("Read %d = %d, %v, %d", i, n, err, got[0])
		}
	}
}

// However much goes through a ring, it touches no more of its memory than what is under
// way at a time and a little more.
func TestRewind(t *testing.T) {
	const capacity, size, total = 1 << 20, 1000, 8 << 20
	p, c := memRing(capacity)
	got, want := make([]byte, 3*size), make([]byte, 3*size)
	for sent := 0; sent < total; sent += len(want) {
		for i := range want { // three messages at a time, none of them empty of meaning
			want[i] = byte(1 + (sent+i)%255)
		}
		for i := range 3 {
			if n, err := p.Write(want[i*size:][:size]); n != size || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if n, err := c.Read(got); n != len(want) || err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Read = %d, %v, or other bytes than were sent", n, err)
		}
	}
	touched := 0
	for i, b := range p.buf {
		if b != 0 {
			touched = i + 1
		}
	}
	if most := rewindAfter + 4*size; touched > most {
		t.Errorf("%d bytes of the ring were touched, want at most %d", touched, most)
	}
}

// A ring that is never empty is never rewound, and all of it is used.
func TestNoRewindWhileThereAreBytes(t *testing.T) {
	const capacity = 64 << 10
	p, c := memRing(capacity)
	if _, err := p.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	for range 200 {
		pat := count(len(buf), 1)
		if n, err := p.Write(pat); n != len(pat) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if n, err := c.Read(buf); n != len(buf) || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		if p.base != 0 {
			t.Fatal("rewound with a byte in the ring")
		}
	}
}

// Whatever a peer stores as base, the consumer stays inside of the ring.
func TestHostileBase(t *testing.T) {
	p, c := memRing(16)
	startAt(p, c, 1000)
	for _, base := range []uint64{0, 1, 999, 1000, 1 << 63, 1<<64 - 1} {
		if _, err := p.Write(count(16, 0)); err != nil {
			t.Fatal(err)
		}
		p.w.base.Store(base)
		if n, err := c.Read(make([]byte, 16)); n != 16 || err != nil {
			t.Errorf("base %d: Read = %d, %v", base, n, err)
		}
	}
}

func TestWriteToAFullRing(t *testing.T) {
	p, c := memRing(8)
	if n, err := p.Write(count(12, 0)); n != 8 || err != nil {
		t.Fatalf("Write of 12 bytes to 8 = %d, %v", n, err)
	}
	if n, err := p.Write([]byte{9}); n != 0 || err != nil {
		t.Fatalf("Write to a full ring = %d, %v", n, err)
	}
	if done, err := p.Drained(); done || err != nil {
		t.Errorf("a full ring is drained: %v, %v", done, err)
	}
	if n, err := c.Read(make([]byte, 3)); n != 3 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if n, err := p.Write(count(12, 8)); n != 3 || err != nil {
		t.Fatalf("Write with 3 free = %d, %v", n, err)
	}
	got := make([]byte, 9)
	if n, err := c.Read(got); n != 8 || err != nil || !bytes.Equal(got[:n], []byte{3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Fatalf("Read = %d, %v, % x", n, err, got[:n])
	}
	if n, err := c.Read(got); n != 0 || err != nil {
		t.Fatalf("Read of an empty ring = %d, %v", n, err)
	}
	if done, err := p.Drained(); !done || err != nil {
		t.Errorf("an empty ring is drained: %v, %v", done, err)
	}
}

// An index is believed only if a well-behaved peer could have stored it.
func TestHostileIndices(t *testing.T) {
	const tail, head = 1000, 993 // 7 of 16 bytes are in the ring
	for _, c := range []struct {
		name  string
		index uint64
		legal bool
	}{
		{"nothing taken", head, true},
		{"one taken", head + 1, true},
		{"all taken", tail, true},
		{"more taken than there is", tail + 1, false},
		{"one given back", head - 1, false},
		{"far ahead", tail + 1<<63, false},
		{"zero", 0, false},
		{"all ones", 1<<64 - 1, false},
	} {
		t.Run("head, "+c.name, func(t *testing.T) {
			p, _ := memRing(16)
			p.tail, p.head = tail, head
			p.w.head.Store(c.index)
			free, err := p.Free(16)
			checkIndex(t, err, c.legal)
			if want := 16 - int(tail-c.index); c.legal && free != want {
				t.Errorf("%d free, want %d", free, want)
			}
			if !c.legal && p.head != head {
				t.Errorf("believes in head %d", p.head)
			}
		})
	}
	for _, c := range []struct {
		name  string
		index uint64
		legal bool
	}{
		{"nothing added", tail, true},
		{"one added", tail + 1, true},
		{"full", head + 16, true},
		{"fuller than full", head + 17, false},
		{"one taken back", tail - 1, false},
		{"far ahead", tail + 1<<63, false},
		{"zero", 0, false},
		{"all ones", 1<<64 - 1, false},
	} {
		t.Run("tail, "+c.name, func(t *testing.T) {
			_, r := memRing(16)
			r.tail, r.head = tail, head
			r.w.tail.Store(c.index)
			have, err := r.Len(16)
			checkIndex(t, err, c.legal)
			if want := int(c.index - head); c.legal && have != want {
				t.Errorf("%d to read, want %d", have, want)
			}
			if !c.legal && r.tail != tail {
				t.Errorf("believes in tail %d", r.tail)
			}
			if n, err := r.Read(make([]byte, 16)); !c.legal && (n != 0 || !errors.Is(err, ErrCorrupt)) {
				t.Errorf("Read = %d, %v", n, err)
			}
		})
	}
}

func checkIndex(t *testing.T, err error, legal bool) {
	t.Helper()
	if legal && err != nil || !legal && !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v, legal is %v", err, legal)
	}
	if !legal && !strings.Contains(err.Error(), "moved from") {
		t.Errorf("error %q doesn't say what happened", err)
	}
}

func TestAnnouncementIsTakenOnce(t *testing.T) {
	p, c := memRing(16)
	if p.NeedWake() {
		t.Error("wakes a consumer that didn't announce itself")
	}
	c.Announce()
	if !c.Announced() || !p.NeedWake() {
		t.Error("doesn't wake a consumer that announced itself")
	}
	if c.Announced() || p.NeedWake() {
		t.Error("wakes it twice for one announcement")
	}
	c.Announce()
	c.Retract()
	if p.NeedWake() {
		t.Error("wakes a consumer that took its announcement back")
	}
}

// A producer that waits for room is left alone until there is enough of it.
func TestProducerSleepsUntilThereIsRoom(t *testing.T) {
	p, c := memRing(16)
	if _, err := p.Write(count(16, 0)); err != nil {
		t.Fatal(err)
	}
	p.Announce()
	for taken := 1; taken <= 4; taken++ {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if got, want := c.NeedWake(), taken == 16/wakeShare; got != want {
			t.Errorf("NeedWake with %d free = %v, want %v", taken, got, want)
		}
	}
	p.Announce()
	c.CloseRead()
	if !c.NeedWake() {
		t.Error("a producer isn't told that nobody reads any more")
	}
}

// A wait word that no well-behaved peer stores wakes nobody and is left alone.
func TestHostileWaitWord(t *testing.T) {
	p, c := memRing(16)
	for _, value := range []uint32{3, 77, 1 << 31, 1<<32 - 1} {
		c.w.rwait.Store(value)
		if p.NeedWake() || c.Announced() {
			t.Errorf("wait word %d counts as an announcement", value)
		}
		if got := c.w.rwait.Load(); got != value {
			t.Errorf("wait word %d became %d", value, got)
		}
	}
}

func TestEnds(t *testing.T) {
	p, c := memRing(16)
	if c.Ended() || p.Reset() {
		t.Error("a fresh ring has ended")
	}
	if _, err := p.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	p.CloseWrite()
	if n, err := c.Len(1); !c.Ended() || n != 1 || err != nil {
		t.Errorf("Ended = %v with %d, %v to read: want the last byte to count", c.Ended(), n, err)
	}
	c.CloseRead()
	if !p.Reset() {
		t.Error("the producer isn't told that nobody reads any more")
	}
}

// Two goroutines use a ring as two processes do, the doorbell being a channel. If a
// wake-up were lost the test would hang; if an index did not order the bytes, the race
// detector would tell, as all of it is ordinary memory here.
func TestRingBetweenGoroutines(t *testing.T) {
	const total = 20_000
	for _, capacity := range []int{1, 2, 8, 64} {
		p, c := memRing(capacity)
		bells := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
		ring := func(bell chan struct{}) {
			select {
			case bell <- struct{}{}:
			default:
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for sent := 0; sent < total; {
				n, err := p.Write(count(min(5, total-sent), byte(sent)))
				if err != nil {
					t.Error(err)
					return
				}
				sent += n
				if p.NeedWake() {
					ring(bells[0])
				}
				if n > 0 {
					continue
				}
				p.Announce()
				if free, _ := p.Free(1); free == 0 {
					<-bells[1]
				}
				p.Retract()
			}
		})
		got := make([]byte, 0, total)
		for buf := make([]byte, 7); len(got) < total; {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
			if c.NeedWake() {
				ring(bells[1])
			}
			if n > 0 {
				continue
			}
			c.Announce()
			if have, _ := c.Len(1); have == 0 {
				<-bells[0]
			}
			c.Retract()
		}
		wg.Wait()
		if !bytes.Equal(got, count(total, 0)) {
			t.Errorf("capacity %d: the bytes differ", capacity)
		}
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	p, c := memRing(64)
	buf := make([]byte, 48)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = p.Write(buf)
		p.NeedWake()
		c.Announce()
		_, _ = c.Read(buf)
		c.NeedWake()
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}
