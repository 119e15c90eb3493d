package shm

import "time"

// Lock is what a producer is used under, such as a [sync.Mutex].
type Lock interface {
	TryLock() bool
	Unlock()
}

const (
	// trimAfter is how long a ring must have been idle for its memory to be
	// given back.
	trimAfter = time.Second
	// trimLeast is how many bytes must have gone through it since the last time,
	// each of which may have touched a page: less isn't worth a system call.
	trimLeast = 16 << 10
)

// trimmer gives the memory of the outgoing ring back to the system when the connection is
// idle. The memory of the incoming one is the peer's to give back.
//
// While bytes are published a timer looks once in a while whether that has
// stopped; then it lies still until the next byte. So an idle connection costs nothing,
// and a busy one a look every second.
type trimmer struct {
	sess  *Session
	lock  Lock
	timer *time.Timer
	seen  uint64 // tail at the last look
	given uint64 // tail when the memory was last given back
}

// TrimWhenIdle makes the session give the memory of the outgoing ring back when nothing
// has been published for a second and the peer has read all. lock is what the producer is
// used under; TrimWhenIdle is called once, before the first use.
func (s *Session) TrimWhenIdle(lock Lock) {
	t := &trimmer{sess: s, lock: lock}
	t.timer = time.AfterFunc(trimAfter, t.look)
	t.timer.Stop()
	s.trim = t
	s.tx.resting = true
	s.tx.stir = func() { t.timer.Reset(trimAfter) }
}

// look is called by the timer.
func (t *trimmer) look() {
	if !t.lock.TryLock() {
		t.timer.Reset(trimAfter) // a Write is under way, or waits
		return
	}
	defer t.lock.Unlock()
	if !t.sess.Acquire() {
		return
	}
	defer t.sess.Release()
	p := &t.sess.tx
	drained, err := p.Drained()
	if err != nil {
		return // the next Write says so
	}
	if p.tail != t.seen || !drained {
		t.seen = p.tail
		t.timer.Reset(trimAfter)
		return
	}
	if p.tail-t.given >= trimLeast {
		t.given = p.tail
		giveBack(p.buf)
	}
	p.resting = true
}

func (t *trimmer) stop() {
	if t != nil {
		t.timer.Stop()
	}
}
