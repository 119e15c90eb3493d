package shm

import (
	"bytes"
	"errors"
	"testing"
)

// plainRing is a ring in plain memory, where the race detector sees it.
func plainRing(capacity int) (Producer, Consumer, words) {
	w := ringWordsAt(make([]byte, ringWords), 0)
	buf := make([]byte, capacity)
	return newProducer(w, buf), newConsumer(w, buf), w
}

// script reads the operations of a fuzzed test off its bytes; at their end it
// gives zeros.
type script struct{ rest []byte }

func (s *script) next() int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b)
}

// ringRun is a ring beside what it should behave like.
type ringRun struct {
	t     *testing.T
	p     *Producer
	c     *Consumer
	model bytes.Buffer
	value byte // of the next byte written
}

func (r *ringRun) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = r.value
		r.value++
	}
	return b
}

func (r *ringRun) write(n int) {
	src := r.bytes(n)
	got, err := r.p.Write(src)
	if want := min(n, r.p.Cap()-r.model.Len()); err != nil || got != want {
		r.t.Fatalf("Write of %d bytes with %d of %d taken: %d, %v, want %d", n, r.model.Len(), r.p.Cap(), got, err, want)
	}
	r.model.Write(src[:got])
	r.value -= byte(n - got)
}

func (r *ringRun) read(n int) {
	got, want := make([]byte, n), make([]byte, n)
	wantN := copy(want, r.model.Next(n))
	gotN, err := r.c.Read(got)
	if err != nil || gotN != wantN || !bytes.Equal(got[:gotN], want[:wantN]) {
		r.t.Fatalf("Read of %d bytes: %d, %v, % x, want %d, % x", n, gotN, err, got[:gotN], wantN, want[:wantN])
	}
}

// fill writes in place, as the direct transport does.
func (r *ringRun) fill(n int) {
	free, err := r.p.Free(n)
	if err != nil || free < min(n, r.p.Cap()-r.model.Len()) || free > r.p.Cap()-r.model.Len() {
		r.t.Fatalf("Free(%d) with %d of %d taken: %d, %v", n, r.model.Len(), r.p.Cap(), free, err)
	}
	src := r.bytes(min(n, free))
	a, b := r.p.Space(len(src))
	if len(a)+len(b) != len(src) {
		r.t.Fatalf("Space(%d) is %d and %d bytes", len(src), len(a), len(b))
	}
	copy(b, src[copy(a, src):])
	r.p.Publish(len(src))
	r.model.Write(src)
}

// peek looks at bytes in place, and then consumes some of them.
func (r *ringRun) peek(n, take int) {
	have, err := r.c.Len(n)
	if err != nil || have < min(n, r.model.Len()) || have > r.model.Len() {
		r.t.Fatalf("Len(%d) with %d there: %d, %v", n, r.model.Len(), have, err)
	}
	n = min(n, have)
	a, b := r.c.Bytes(n)
	if got := append(bytes.Clone(a), b...); !bytes.Equal(got, r.model.Bytes()[:n]) {
		r.t.Fatalf("Bytes(%d) are % x, want % x", n, got, r.model.Bytes()[:n])
	}
	take = min(take, n)
	r.c.Consume(take)
	r.model.Next(take)
}

// FuzzRing compares a ring with a bytes.Buffer that holds no more than the ring's
// capacity. The indices start anywhere, so that they wrap within a run too.
func FuzzRing(f *testing.F) {
	f.Add(uint8(0), uint64(0), []byte{0, 1, 1, 1})
	f.Add(uint8(3), uint64(1<<64-3), []byte{0, 9, 1, 4, 2, 9, 3, 9, 3, 0, 9, 1, 9})
	f.Add(uint8(2), uint64(1<<32-2), []byte{2, 4, 3, 4, 4, 2, 4, 1, 2})
	f.Fuzz(func(t *testing.T, size uint8, start uint64, ops []byte) {
		p, c, w := plainRing(1 << (size % 7))
		p.tail, p.head, c.tail, c.head = start, start, start, start
		if len(ops)%2 == 0 {
			p.look = start + 1<<62 // never rewinds, so that bytes wrap
		}
		w.tail.Store(start)
		w.head.Store(start)
		r := ringRun{t: t, p: &p, c: &c}
		for s := (script{ops}); len(s.rest) > 0; {
			switch s.next() % 5 {
			case 0:
				r.write(s.next())
			case 1:
				r.read(s.next())
			case 2:
				r.fill(s.next())
			case 3:
				r.peek(s.next(), s.next())
			case 4:
				drained, err := r.p.Drained()
				if err != nil || drained != (r.model.Len() == 0) {
					t.Fatalf("Drained with %d there: %v, %v", r.model.Len(), drained, err)
				}
			}
		}
		r.read(r.c.Cap())
		if r.model.Len() > 0 {
			t.Fatalf("%d bytes are left", r.model.Len())
		}
	})
}

// FuzzHostileRing lets the peer store anything into the words between any two
// operations of both ends. Each result is either within bounds or ErrCorrupt, and an
// end that said ErrCorrupt doesn't move its own index.
func FuzzHostileRing(f *testing.F) {
	f.Add(uint8(3), []byte{5, 0, 3, 1, 6, 4, 9, 1})    // tail a little too far
	f.Add(uint8(3), []byte{95, 4, 255, 3, 9, 1})       // tail far beyond
	f.Add(uint8(3), []byte{5, 0, 95, 5, 255, 2, 9, 0}) // head far beyond
	f.Add(uint8(3), []byte{5, 0, 27, 5, 9, 0, 9, 2})   // head beyond tail
	f.Add(uint8(3), []byte{5, 0, 5, 1, 3, 4, 9, 3})    // tail back
	f.Fuzz(func(t *testing.T, size uint8, ops []byte) {
		p, c, w := plainRing(1 << (size % 7))
		for s := (script{ops}); len(s.rest) > 0; {
			n := s.next()
			switch s.next() % 8 {
			case 0:
				before := p.tail
				got, err := p.Write(make([]byte, n))
				bounded(t, "Write", got, n, err)
				kept(t, "tail", before, p.tail, got, err)
			case 1:
				before := c.head
				got, err := c.Read(make([]byte, n))
				bounded(t, "Read", got, n, err)
				kept(t, "head", before, c.head, got, err)
			case 2:
				got, err := p.Free(n)
				bounded(t, "Free", got, p.Cap(), err)
				if err == nil {
					p.Space(got)
				}
			case 3:
				got, err := c.Len(n)
				bounded(t, "Len", got, c.Cap(), err)
				if err == nil {
					c.Bytes(got)
				}
			case 4:
				w.tail.Store(near(w.tail.Load(), n))
			case 5:
				w.head.Store(near(w.head.Load(), n))
			case 6:
				w.rwait.Store(uint32(n))
				w.wwait.Store(uint32(n))
				p.NeedWake()
				c.NeedWake()
			case 7:
				w.fin.Store(uint32(n))
				w.rst.Store(uint32(n))
				if _, err := p.Drained(); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("Drained: %v", err)
				}
			}
		}
	})
}

// near is a value by which an index may be off by a little, by half of all numbers
// or by a power of two.
func near(index uint64, n int) uint64 {
	switch n % 3 {
	case 0:
		return index + uint64(n/3)
	case 1:
		return index - uint64(n/3)
	default:
		return index + 1<<(n/3%64)
	}
}

func bounded(t *testing.T, what string, n, most int, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: error %v does not wrap ErrCorrupt", what, err)
	}
	if n < 0 || n > most {
		t.Fatalf("%s: %d, at most %d", what, n, most)
	}
}

func kept(t *testing.T, index string, before, after uint64, n int, err error) {
	t.Helper()
	if after != before+uint64(n) || err != nil && n != 0 {
		t.Fatalf("%s moved from %d to %d for %d bytes, error %v", index, before, after, n, err)
	}
}
