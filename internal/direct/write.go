package direct

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// writing is the sending side of a connection.
type writing struct {
	mu    sync.Mutex
	tx    *shm.Producer
	most  int  // bytes of payload in a frame
	dead  bool // the memory may be gone
	queue []*turn
	spin  roomSpin         // of the first in the queue
	owed  map[owing]uint64 // control frames that did not fit
}

// turn is a sender's place in the queue for room.
type turn struct {
	wake chan struct{}
	spun bool // since it was last woken
}

// roomSpin is what the first in the queue waits with before it sleeps. A peer that is
// reading makes room in a moment.
type roomSpin struct {
	shm.Spinner

	mark  uint64
	need  int
	ready func() bool
}

// owing names a control frame; there is one at most of each name, so what is owed is
// bounded by the number of streams.
type owing struct {
	kind   kind
	flags  flags
	stream uint64
}

// reserve is room that only control frames may use, so that credit and cancellation
// get through when data doesn't.
const reserve = 16 * (headerSize + frameAlign)

// maxOwed bounds the control frames for a peer that doesn't read.
const maxOwed = 4 * MaxStreams

func (w *writing) init(tx *shm.Producer, spin time.Duration, ending *atomic.Bool) {
	w.tx = tx
	w.most = maxPayload(tx.Cap())
	w.spin.Max = spin
	w.spin.ready = func() bool { return w.tx.RoomAfter(w.spin.mark) >= w.spin.need || ending.Load() }
	w.owed = map[owing]uint64{}
}

// kill makes all that follows fail, and returns when nobody is at the ring any more.
func (w *writing) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// put writes a frame if there is room for it and spare more bytes.
func (w *writing) put(h header, a, b []byte, spare int) (bool, error) {
	h.length = len(a) + len(b)
	size := frameSize(h.length)
	if err := w.tx.Rewind(); err != nil {
		return false, violation("%w", err)
	}
	pad := w.padFor(size)
	need := pad + size
	free, err := w.tx.Free(need + spare)
	if err != nil {
		return false, violation("%w", err)
	}
	if free < need+spare {
		return false, nil
	}
	space, rest := w.tx.Space(need)
	if pad > 0 {
		header{kind: kindPad}.put(space)
		space = rest
	}
	h.put(space)
	copy(space[headerSize+copy(space[headerSize:], a):], b)
	w.tx.Publish(need)
	return true, nil
}

// padFor is how much of the ring's end is left unused before a frame of size bytes.
func (w *writing) padFor(size int) int {
	end, _ := w.tx.Space(w.tx.Cap()) // up to the ring's end
	if len(end) < size {
		return len(end)
	}
	return 0
}

// frames is what is sent in one turn: a and b behind each other, in one frame if they fit
// and otherwise in several with the same header. All of a fits into the first.
type frames struct {
	header

	a, b []byte
	end  bool // the last one has flagEnd
}

// put writes the next frame, if there is room. What is owed goes first: a slot may be used
// again after the cancel of its last stream only. done is true when it was the last.
func (f *frames) put(w *writing) (ok, done bool, err error) {
	if len(w.owed) > 0 {
		if err := w.settle(); err != nil || len(w.owed) > 0 {
			return false, false, err
		}
	}
	h, n := f.header, min(len(f.b), w.most-len(f.a))
	done = n == len(f.b)
	if done && f.end {
		h.flags |= flagEnd
	}
	if ok, err = w.put(h, f.a, f.b[:n], reserve); !ok || err != nil {
		return false, false, err
	}
	f.a, f.b = nil, f.b[n:]
	f.flags &^= flagFirst
	return true, done, nil
}

// room is what the next frame takes of the ring, if it need not wrap.
func (f *frames) room(w *writing) int { return frameSize(min(len(f.a)+len(f.b), w.most)) }

// send writes frames, waiting for its turn and for room. It fails when ctx or the
// connection ends; if there is one frame, it is not written then.
func (c *Conn) send(ctx context.Context, f frames) error {
	w := &c.w
	w.mu.Lock()
	for {
		if w.dead {
			w.mu.Unlock()
			return c.reason
		}
		if len(w.queue) > 0 {
			break
		}
		ok, done, err := f.put(w)
		switch {
		case done || err != nil:
			return c.sent(err)
		case !ok:
			return c.sendInTurn(ctx, f)
		}
		c.pause()
	}
	return c.sendInTurn(ctx, f)
}

// pause lets others at the ring between two frames, and wakes the peer if it sleeps. It is
// called with w.mu locked, and unlocks it meanwhile.
func (c *Conn) pause() {
	need := c.w.tx.NeedWake()
	c.w.mu.Unlock()
	if need {
		c.link.Ring()
	}
	c.w.mu.Lock()
}

// sent ends a stay at the ring: it unlocks, and wakes the peer if it sleeps.
func (c *Conn) sent(err error) error {
	w := &c.w
	if len(w.owed) > 0 && err == nil {
		err = w.settle()
	}
	need := w.tx.NeedWake()
	w.mu.Unlock()
	if need {
		c.link.Ring()
	}
	if err != nil {
		c.fail(err)
	}
	return err
}

// sendInTurn queues for room. It is called with w.mu locked.
func (c *Conn) sendInTurn(ctx context.Context, f frames) error {
	w := &c.w
	t := &turn{wake: make(chan struct{}, 1)}
	w.queue = append(w.queue, t)
	for {
		if w.dead {
			w.mu.Unlock()
			return c.reason
		}
		if w.queue[0] == t {
			if t.spun {
				w.tx.Announce() // S1; put re-checks
			}
			ok, done, err := f.put(w)
			switch {
			case done || err != nil:
				w.leave(t)
				return c.sent(err)
			case ok:
				t.spun = false
				c.pause()
				continue
			case !t.spun:
				c.spinForRoom(t, f.room(w))
				continue
			}
		}
		w.mu.Unlock()
		err := c.awaitTurn(ctx, t)
		w.mu.Lock()
		if err != nil {
			w.leave(t)
			w.mu.Unlock()
			return err
		}
	}
}

// spinForRoom waits a moment for room for a frame of size bytes, for the first in the
// queue. It is called with w.mu locked, and unlocks it meanwhile.
func (c *Conn) spinForRoom(t *turn, size int) {
	w := &c.w
	w.spin.mark, w.spin.need = w.tx.Mark(), w.padFor(size)+size+reserve
	w.mu.Unlock()
	if c.link.Acquire() {
		t.spun = !w.spin.Spin(w.spin.ready)
		c.link.Release()
	} else {
		t.spun = true
	}
	w.mu.Lock()
}

// awaitTurn sleeps until it is t's turn to try. If nobody reads, the caller reads a little
// first: the peer may be waiting for us to do that before it makes room.
func (c *Conn) awaitTurn(ctx context.Context, t *turn) error {
	if c.lead.take() {
		c.poll(pollBatch, false)
		c.quitLead()
	}
	select {
	case <-t.wake:
		t.spun = false
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.reason
	}
}

// leave takes t out of the queue and calls the next one up.
func (w *writing) leave(t *turn) {
	for i, q := range w.queue {
		if q == t {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			break
		}
	}
	if len(w.queue) == 0 && len(w.owed) == 0 && !w.dead {
		w.tx.Retract()
	}
	w.callUp()
}

// callUp lets the first in the queue try.
func (w *writing) callUp() {
	if len(w.queue) > 0 {
		signal(w.queue[0].wake)
	}
}

// roomFreed is called when the peer may have made room.
func (c *Conn) roomFreed() {
	w := &c.w
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		return
	}
	w.callUp()
	_ = c.sent(nil) // what fails here ends the connection, which everybody notices
}

// control writes a control frame with a value, or sees to it that it will be
// written. It never waits, so whoever reads may call it. Values of credit add up.
func (c *Conn) control(k kind, f flags, stream, value uint64) {
	w := &c.w
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		return
	}
	key := owing{k, f, stream}
	if k == kindCredit {
		value += w.owed[key]
	}
	w.owed[key] = value
	if len(w.owed) > maxOwed {
		w.mu.Unlock()
		c.fail(violation("%d control frames unread", maxOwed))
		return
	}
	_ = c.sent(nil) // as above
}

// settle writes what is owed as far as there is room, and announces that we wait for
// more if need be.
func (w *writing) settle() error {
	for range 2 { // the second time after the announcement: S2
		for key, value := range w.owed {
			var payload [8]byte
			binary.LittleEndian.PutUint64(payload[:], value)
			ok, err := w.put(header{kind: key.kind, flags: key.flags, stream: key.stream}, payload[:], nil, 0)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			delete(w.owed, key)
		}
		if len(w.owed) == 0 {
			return nil
		}
		w.tx.Announce()
	}
	return nil
}
