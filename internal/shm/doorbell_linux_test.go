package shm

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// pair is two ends of a session in one process.
func pair(t *testing.T) (a, b *Session) {
	t.Helper()
	d, l := shake(t, options(), options())
	if d.err != nil || l.err != nil {
		t.Fatal(d.err, l.err)
	}
	return d.sess, l.sess
}

// soon waits for done, which must not take long.
func soon(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited %v until %s", patience, what)
	}
}

// background runs f and tells when it is done.
func background(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

func yes() bool { return true }

// listening is an asleep for Wait that tells when the poller listens.
func listening() (asleep func() bool, begun <-chan struct{}) {
	c := make(chan struct{}, 1)
	return func() bool {
		select {
		case c <- struct{}{}:
		default:
		}
		return true
	}, c
}

func TestBellEndsWait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	for range 1000 { // many more than are left in the socket
		asleep, begun := listening()
		done := background(func() { a.Wait(asleep) })
		<-begun
		a.RX().Announce()
		if !b.TX().NeedWake() {
			t.Fatal("the announcement didn't arrive")
		}
		b.Ring()
		soon(t, done, "a bell ended Wait")
	}
}

// A bell that rang before Wait is not lost: asleep sees its announcement taken.
func TestBellBeforeWait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	a.RX().Announce()
	if !b.TX().NeedWake() {
		t.Fatal("the announcement didn't arrive")
	}
	b.Ring()
	soon(t, background(func() { a.Wait(a.RX().Announced) }), "Wait noticed the bell before it")
}

func TestKick(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	asleep, begun := listening()
	done := background(func() { a.Wait(asleep) })
	<-begun
	a.Kick()
	soon(t, done, "a kick ended Wait")
	soon(t, background(func() { a.Wait(yes) }), "Wait returned at once after a kick")
	a.Unkick()
	asleep, begun = listening()
	done = background(func() { a.Wait(asleep) })
	<-begun
	b.Ring()
	soon(t, done, "a bell ended Wait after Unkick")
}

func TestCloseEndsWait(t *testing.T) {
	leak.Check(t)
	a, _ := pair(t)
	asleep, begun := listening()
	done := background(func() { a.Wait(asleep) })
	<-begun
	a.Close()
	soon(t, done, "Close ended Wait")
	soon(t, background(func() { a.Wait(yes) }), "Wait returned at once after Close")
	if a.Gone() {
		t.Error("our own Close is taken for the peer's")
	}
}

func TestPeerCloseEndsWait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	asleep, begun := listening()
	done := background(func() { a.Wait(asleep) })
	<-begun
	b.Close()
	soon(t, done, "the peer's Close ended Wait")
	soon(t, background(func() { a.Wait(yes) }), "Wait returned at once after the peer's Close")
	if !a.Gone() {
		t.Error("the peer's Close went unnoticed")
	}
}

// The poller reports a bell and the end as one. Who then looks at the bell only must
// not sleep over the end.
func TestEndTogetherWithABell(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	b.Ring()
	b.Close()
	soon(t, background(func() { a.Wait(yes) }), "Wait noticed the end behind a bell")
	if !a.Gone() {
		t.Error("the end went unnoticed")
	}
}

func TestRingNoticesTheEnd(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	b.Close()
	a.Ring()
	if !a.Gone() {
		t.Error("the end went unnoticed")
	}
}

// bells is how many bytes lie in the socket of s.
func bells(t *testing.T, s *Session) (n int) {
	t.Helper()
	err := s.door.raw.Control(func(fd uintptr) {
		var err error
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A peer may ring as often as it is told to: no bell finds the buffer full.
func TestBellsAreClearedInTime(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	most := 0
	for range 2000 {
		a.RX().Announce()
		if !b.TX().NeedWake() {
			t.Fatal("an announcement didn't arrive")
		}
		b.Ring()
		most = max(most, bells(t, a))
		a.Wait(a.RX().Announced)
	}
	if limit := int(a.door.bulk); most > limit {
		t.Errorf("%d bells at a time, want at most %d", most, limit)
	}
	if most < 2 {
		t.Errorf("bells are read one by one")
	}
}

// A peer that rings without a cause fills the buffer, and from then on disturbs nobody.
func TestFloodOfBells(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	for range 100_000 {
		b.Ring()
	}
	full := bells(t, a)
	b.Ring()
	if n := bells(t, a); n != full {
		t.Errorf("%d bells became %d", full, n)
	}
	if full > 2000 {
		t.Errorf("%d bells fit into the socket", full)
	}
	asleep, begun := listening()
	done := background(func() { a.Wait(asleep) })
	<-begun
	b.Close()
	soon(t, done, "Wait noticed the end behind a flood")
}

func TestAwait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	woken := make(chan bool, 100)
	done := background(func() { a.Await(func() { woken <- a.Gone() }) })
	<-woken // once to begin with
	for range 1000 {
		a.RX().Announce()
		b.TX().NeedWake()
		b.Ring()
		if <-woken {
			t.Fatal("a bell is taken for the end")
		}
	}
	b.Close()
	for gone := false; !gone; {
		select {
		case gone = <-woken:
		case <-time.After(patience):
			t.Fatal("woken was not called at the end")
		}
	}
	soon(t, done, "Await returned")
}

func TestCloseFromWithinAwait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	var calls atomic.Int32
	done := background(func() {
		a.Await(func() {
			if calls.Add(1) == 2 {
				a.Close()
			}
		})
	})
	for calls.Load() == 0 {
		pause(spinPause)
	}
	b.Ring()
	soon(t, done, "Close from within woken ended Await")
	soon(t, background(func() { b.Wait(yes) }), "the peer noticed")
	if a.Gone() || !b.Gone() {
		t.Errorf("gone: %v and %v, want false and true", a.Gone(), b.Gone())
	}
}

func TestCloseEndsAwait(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	begun := make(chan struct{}, 10)
	done := background(func() { a.Await(func() { begun <- struct{}{} }) })
	<-begun
	a.Close()
	soon(t, done, "Close ended Await")
	b.Ring()
	if !b.Gone() {
		t.Error("the peer didn't notice")
	}
}

// Memory stays for as long as anybody holds a reference, and no longer.
func TestReferences(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	if !a.Acquire() {
		t.Fatal("a fresh session can't be acquired")
	}
	a.Close()
	a.Close()
	if !a.Closed() || a.Acquire() {
		t.Error("a closed session can be acquired")
	}
	if n, err := a.TX().Write([]byte("late")); n != 4 || err != nil {
		t.Errorf("Write under the last reference = %d, %v", n, err)
	}
	a.Release()
	if a.seg.mem != nil {
		t.Error("the memory is still mapped")
	}
	b.Close()
}

func TestReadableTellsTheEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(peer *Session)
		want error
	}{
		{"clean", func(p *Session) { p.Close() }, io.EOF},
		{"crash", func(p *Session) { p.hangUp() }, ErrReset},
		{"half", func(p *Session) { p.TX().CloseWrite() }, io.EOF},
		{"half, then crash", func(p *Session) { p.TX().CloseWrite(); p.hangUp() }, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			leak.Check(t)
			a, b := pair(t)
			if n, err := a.Readable(1); n != 0 || err != nil {
				t.Fatalf("Readable of an empty ring = %d, %v", n, err)
			}
			b.TX().Write([]byte{1, 2, 3})
			c.end(b)
			a.Ring() // to look at the socket
			if n, err := a.Readable(3); n != 3 || err != nil {
				t.Fatalf("Readable = %d, %v: want the last bytes first", n, err)
			}
			a.RX().Consume(3)
			if n, err := a.Readable(1); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("Readable = %d, %v, want %v", n, err, c.want)
			}
		})
	}
}

func TestDoorbellDoesNotAllocate(t *testing.T) {
	leak.Check(t)
	a, b := pair(t)
	asleep := func() bool { return false }
	if n := testing.AllocsPerRun(500, func() {
		a.RX().Announce()
		b.TX().NeedWake()
		b.Ring()
		a.Wait(asleep)
	}); n != 0 {
		t.Errorf("%v allocations per wake-up", n)
	}
}
