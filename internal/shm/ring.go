package shm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrCorrupt is wrapped by every error about a segment or a message that a
// well-behaved peer can't produce.
var ErrCorrupt = errors.New("shared memory corrupted by the peer")

// words are the shared words of one ring; see layout.go.
type words struct {
	tail, head   *atomic.Uint64
	base         *atomic.Uint64
	fin, rst     *atomic.Uint32
	rwait, wwait *atomic.Uint32
}

func ringWordsAt(mem []byte, off int) words {
	return words{
		tail: word64(mem, off+offTail), fin: word32(mem, off+offFin),
		base: word64(mem, off+offBase),
		head: word64(mem, off+offHead), rst: word32(mem, off+offRst),
		rwait: word32(mem, off+offRwait), wwait: word32(mem, off+offWwait),
	}
}

// Producer is the writing end of a ring. Its methods, but for [Producer.CloseWrite],
// are for one goroutine at a time.
type Producer struct {
	w    words
	buf  []byte
	tail uint64 // ours; the shared word is a copy for the consumer
	head uint64 // the consumer's, as last loaded and checked
	base uint64 // ours; the index of the byte at the start of buf
	look uint64 // tail from which on Rewind looks whether it can
	vain uint8  // counts Rewind's looks in vain
	wake int    // free bytes below which a waiting producer is left asleep

	resting bool // see trimmer: stir is to be called for the next byte
	stir    func()

	announced uint32 // counts Announce; atomic, for who waits on the doorbell
}

// Consumer is the reading end of a ring. Its methods, but for [Consumer.CloseRead],
// are for one goroutine at a time.
type Consumer struct {
	w    words
	buf  []byte
	head uint64 // ours; the shared word is a copy for the producer
	tail uint64 // the producer's, as last loaded and checked
	base uint64 // the producer's; any value is legal
	wake int    // see Producer

	announced uint32 // see Producer
}

// wakeShare is the part of a ring that must be free before a consumer wakes a
// waiting producer. Without it each small read would wake a writer for a few
// bytes of space. An empty ring is free as a whole, so it always wakes.
const wakeShare = 4

func newProducer(w words, buf []byte) Producer {
	return Producer{w: w, buf: buf, wake: len(buf) / wakeShare}
}

func newConsumer(w words, buf []byte) Consumer {
	return Consumer{w: w, buf: buf, wake: len(buf) / wakeShare}
}

// Cap is the capacity of the ring in bytes.
func (p *Producer) Cap() int { return len(p.buf) }

// Free tells how many bytes can be written now. The consumer's index is loaded
// only when what is known to be free is less than want.
func (p *Producer) Free(want int) (int, error) {
	free := len(p.buf) - int(p.tail-p.head)
	if free >= want {
		return free, nil
	}
	head := p.w.head.Load() // C3 of the consumer: the part before head is ours again
	// head can't go back and can't overtake tail: both show as a distance
	// beyond what was in the ring.
	if head-p.head > p.tail-p.head {
		return 0, fmt.Errorf("%w: head moved from %d to %d with tail at %d", ErrCorrupt, p.head, head, p.tail)
	}
	p.head = head
	raceAcquire()
	return len(p.buf) - int(p.tail-head), nil
}

// Mark is where the producer stands, for RoomAfter.
func (p *Producer) Mark() uint64 { return p.tail }

// RoomAfter tells how many bytes would be free if the producer stood at mark. It may be
// called while others use the producer. It is a hint, because nothing is checked: what
// it says is for [Producer.Free] to confirm.
func (p *Producer) RoomAfter(mark uint64) int { return len(p.buf) - int(mark-p.w.head.Load()) }

// Space is the first n free bytes, in one piece or, where they wrap, in two.
// n must not be more than Free said.
func (p *Producer) Space(n int) (a, b []byte) { return pieces(p.buf, p.tail-p.base, n) }

const (
	// rewindAfter is how many bytes go into the ring until Rewind looks.
	rewindAfter = 16 << 10
	// rewindLooks is how often it looks then, at one call after the other: what
	// is written in several parts finds the ring empty at the first of them only.
	rewindLooks = 8
	// rewindStep is how many bytes go by until it does so again. Each look
	// costs a cache line that the consumer writes to.
	rewindStep = 4 << 10
)

// Rewind goes on at the start of the ring's memory, if the ring is empty and has come far
// enough. So a connection touches no more memory than it needs for what is under
// way at a time, however large the ring, and that stays in the caches. It must not be
// called between Space and Publish.
//
// The consumer looks at base after it has found bytes, and while there are any,
// base doesn't change: so the two agree on where each byte is.
func (p *Producer) Rewind() error {
	if int64(p.tail-p.look) < 0 {
		return nil
	}
	if empty, err := p.Drained(); err != nil || !empty {
		if p.vain++; p.vain%rewindLooks == 0 {
			p.look = p.tail + rewindStep
		}
		return err
	}
	p.base, p.look, p.vain = p.tail, p.tail+rewindAfter, 0
	p.w.base.Store(p.base) // before P2
	return nil
}

// Write copies as much of src as is free into the ring and publishes it.
func (p *Producer) Write(src []byte) (int, error) {
	if err := p.Rewind(); err != nil {
		return 0, err
	}
	free, err := p.Free(len(src))
	if err != nil {
		return 0, err
	}
	n := min(len(src), free)
	a, b := p.Space(n)
	copy(b, src[copy(a, src):n])
	p.Publish(n)
	return n, nil
}

// Publish hands the first n free bytes to the consumer. The caller then calls
// [Producer.NeedWake].
func (p *Producer) Publish(n int) {
	if n == 0 {
		return
	}
	raceRelease()
	p.tail += uint64(n)
	p.w.tail.Store(p.tail) // P2; as W1 it comes before W2 in NeedWake
	if p.resting {
		p.resting = false
		p.stir()
	}
}

// NeedWake tells whether the consumer waits for the doorbell. It takes the announcement
// away: who is told true must ring. A consumer that naps is woken by NeedWake itself.
func (p *Producer) NeedWake() bool { return takeWait(p.w.rwait) }

// Announce says that the producer is about to sleep (S1). The caller re-checks
// Free and Reset before it parks.
func (p *Producer) Announce() {
	atomic.AddUint32(&p.announced, 1)
	p.w.wwait.Store(parked)
}

// Announced tells whether the announcement still stands: nobody took it to ring.
func (p *Producer) Announced() bool { return p.w.wwait.Load() == parked }

// Retract takes the announcement back. A wake-up may be under way all the same.
func (p *Producer) Retract() { p.w.wwait.Store(awake) }

// Nap sleeps until the consumer takes bytes, or the time is up. It costs the peer less
// than the doorbell, but it holds a thread, and maybe a processor of Go's scheduler,
// so it is for moments. It tells what ready says in the end.
func (p *Producer) Nap(limit time.Duration, ready func() bool) bool {
	return nap(p.w.wwait, limit, ready)
}

// CloseWrite says that no byte will follow those published. It must not run
// together with Publish.
func (p *Producer) CloseWrite() {
	raceRelease()
	p.w.fin.Store(1)
}

// Reset tells whether the consumer said that it will read no more.
func (p *Producer) Reset() bool { return p.w.rst.Load() != 0 }

// Drained tells whether the consumer took all that was published.
func (p *Producer) Drained() (bool, error) {
	free, err := p.Free(len(p.buf))
	return free == len(p.buf), err
}

// Cap is the capacity of the ring in bytes.
func (c *Consumer) Cap() int { return len(c.buf) }

// Len tells how many bytes can be read now. The producer's index is loaded only
// when less than want are known to be there.
func (c *Consumer) Len(want int) (int, error) {
	have := int(c.tail - c.head)
	if have >= want {
		return have, nil
	}
	tail := c.w.tail.Load() // C1, and S2 of a consumer that announced
	// tail can't go back and can't lap head: both show as a distance beyond
	// what was free.
	if tail-c.tail > uint64(len(c.buf)-have) {
		return 0, fmt.Errorf("%w: tail moved from %d to %d with head at %d in a ring of %d bytes",
			ErrCorrupt, c.tail, tail, c.head, len(c.buf))
	}
	c.tail = tail
	c.base = c.w.base.Load() // after C1, see Rewind
	raceAcquire()
	return int(tail - c.head), nil
}

// Bytes is the first n bytes that can be read, in one piece or, where they wrap,
// in two. n must not be more than Len said. The peer can change them while
// they are looked at; they are the consumer's until Consume.
func (c *Consumer) Bytes(n int) (a, b []byte) { return pieces(c.buf, c.head-c.base, n) }

// Read copies bytes out of the ring and gives their space back.
func (c *Consumer) Read(dst []byte) (int, error) {
	have, err := c.Len(len(dst))
	if err != nil {
		return 0, err
	}
	n := min(len(dst), have)
	a, b := c.Bytes(n)
	copy(dst[copy(dst, a):], b)
	c.Consume(n)
	return n, nil
}

// Consume gives the space of the first n bytes back to the producer. The caller
// then calls [Consumer.NeedWake].
func (c *Consumer) Consume(n int) {
	if n == 0 {
		return
	}
	raceRelease()
	c.head += uint64(n)
	c.w.head.Store(c.head) // C3; as W1 it comes before W2 in NeedWake
}

// NeedWake tells whether the producer waits for the doorbell and has room enough to be
// woken. It takes the announcement away: who is told true must ring. A producer that naps
// is woken by NeedWake itself.
//
// The room is reckoned with the tail that the consumer knows. A producer that
// sleeps has filled the ring, so this consumer will come to know all of it
// before it stops reading, and reckons again at its last byte.
func (c *Consumer) NeedWake() bool {
	if len(c.buf)-int(c.tail-c.head) < c.wake && c.w.rst.Load() == 0 {
		return false
	}
	return takeWait(c.w.wwait)
}

// Announce says that the consumer is about to sleep (S1). The caller re-checks
// Len and Ended before it parks.
func (c *Consumer) Announce() {
	atomic.AddUint32(&c.announced, 1)
	c.w.rwait.Store(parked)
}

// Announced tells whether the announcement still stands: nobody took it to ring.
func (c *Consumer) Announced() bool { return c.w.rwait.Load() == parked }

// Retract takes the announcement back. A wake-up may be under way all the same.
func (c *Consumer) Retract() { c.w.rwait.Store(awake) }

// Nap sleeps until the producer publishes bytes, or the time is up. See [Producer.Nap].
func (c *Consumer) Nap(limit time.Duration, ready func() bool) bool {
	return nap(c.w.rwait, limit, ready)
}

// CloseRead says that the consumer will read no more.
func (c *Consumer) CloseRead() { c.w.rst.Store(1) }

// Ended tells whether the producer said that no byte follows those published.
// fin is stored after the last tail, so a caller that is told true looks at
// Len once more: what it finds then is all.
func (c *Consumer) Ended() bool {
	if c.w.fin.Load() == 0 {
		return false
	}
	raceAcquire()
	return true
}

// pieces is the n bytes of the ring buf from place at on, modulo its capacity.
func pieces(buf []byte, at uint64, n int) (a, b []byte) {
	i := int(at & uint64(len(buf)-1))
	if end := i + n; end <= len(buf) {
		return buf[i:end:end], nil
	}
	return buf[i:], buf[:n-(len(buf)-i)]
}
