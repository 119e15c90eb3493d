//go:build explore

package interleave_test

import (
	"context"
	"errors"
	"testing"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/explore"
)

// background never ends.
var background = context.Background()

// TestCaller: one caller, whose answer comes at any time.
func TestCaller(t *testing.T) {
	for _, direct.ModelSpins = range []bool{false, true} {
		exhaust(t, func(s *explore.Schedule) {
			w := newWorld(direct.Options{})
			a := w.open()
			s.Daemon("door", w.c.AttendAsleep)
			s.Go("A", func() { answered(background, a) })
			s.Go("peer", func() { w.peer.PutTrailer(a) })
		})
	}
	direct.ModelSpins = false
}

// TestTwoCallers: either may read the other's answer.
func TestTwoCallers(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a, b := w.open(), w.open()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { answered(background, a) })
		s.Go("B", func() { answered(background, b) })
		s.Go("peer", func() {
			w.peer.PutTrailer(b)
			w.peer.PutTrailer(a)
		})
	})
}

// TestLeaderIsCanceled: A may lead when its context ends; B's answer comes before that, or
// after it.
func TestLeaderIsCanceled(t *testing.T) {
	for _, first := range []string{"cancel", "answer"} {
		t.Run(first+" first", func(t *testing.T) {
			all := exhaust
			if first == "answer" {
				all = large
			}
			all(t, func(s *explore.Schedule) {
				w := newWorld(direct.Options{})
				a, b, ctx := w.open(), w.open(), newCtx()
				s.Daemon("door", w.c.AttendAsleep)
				s.Go("A", func() { _, err := a.Recv(ctx); want(err, context.Canceled) })
				s.Go("B", func() { answered(background, b) })
				s.Go("peer", func() {
					if first == "cancel" {
						ctx.cancel()
						w.peer.PutTrailer(b)
						return
					}
					w.peer.PutTrailer(b)
					ctx.cancel()
				})
			})
		})
	}
}

// TestFollowerIsCanceled: B was chosen, which is that its wake-up is under way, and its
// context ends.
func TestFollowerIsCanceled(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a, b, ctx := w.open(), w.open(), newCtx()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { answered(background, a) })
		s.Go("B", func() { answered(ctx, b, context.Canceled) })
		s.Go("canceler", ctx.cancel)
		s.Go("peer", func() { w.peer.PutTrailer(a) })
	})
}

// panics is a context whose Err panics, as one of a user's may.
type panics struct{ context.Context }

func (panics) Err() error { panic(errMine) }

var errMine = errors.New("mine")

// mine recovers from that, and from nothing else.
func mine() {
	if p := recover(); p != nil && p != errMine {
		panic(p)
	}
}

// TestLeaderPanics: it comes across frames for others while it leads, and what it runs of a
// user's panics.
func TestLeaderPanics(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a, b, c := w.open(), w.open(), w.open()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() {
			defer mine()
			answered(panics{background}, a)
		})
		s.Go("B", func() {
			answered(background, b)
			answered(background, c)
		})
		s.Go("peer", func() {
			w.peer.PutTrailer(b)
			w.peer.PutTrailer(c)
			w.peer.PutTrailer(a)
		})
	})
}

// TestFollowerPanics: A's answer comes first, so it hands the lead to one of the others; what
// is run of B's user panics when it has been chosen.
func TestFollowerPanics(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a, b, c := w.open(), w.open(), w.open()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { answered(background, a) })
		s.Go("B", func() {
			defer mine()
			answered(panics{background}, b)
		})
		s.Go("C", func() { answered(background, c) })
		s.Go("peer", func() {
			w.peer.PutTrailer(a)
			w.peer.PutTrailer(c)
			w.peer.PutTrailer(b)
		})
	})
}

// TestCreditArrives: a sender waits for credit while nobody receives.
func TestCreditArrives(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a := w.open()
		a.Spend()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { must(a.Send(background, []byte("x"), false, true)) })
		s.Go("peer", func() {
			w.peer.PutCredit(a, 20)
			w.peer.PutCredit(a, 13)
		})
	})
}

// TestClose: whoever waits is told, and the connection lets go of its memory, which it can
// do only when nobody reads.
func TestClose(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a := w.open()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { answered(background, a, direct.ErrClosed) })
		s.Go("peer", func() { w.peer.PutTrailer(a) })
		s.Go("closer", func() {
			w.c.Close()
			explore.Select(w.c.Gone())
		})
	})
}

// TestPeerEnds: what it wrote before counts, and all others are told.
func TestPeerEnds(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a, b := w.open(), w.open()
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { answered(background, a) })
		s.Go("B", func() {
			_, err := b.Recv(background)
			want(err, direct.ErrPeerGone)
			explore.Select(w.c.Gone())
		})
		s.Go("peer", func() {
			w.peer.PutTrailer(a)
			w.peer.Close()
		})
	})
}

// TestRoomIsMade: the ring is full, and its sender waits for room while it, or nobody, reads.
func TestRoomIsMade(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		w := newWorld(direct.Options{})
		a := w.open()
		for w.c.Fill(a) {
		}
		s.Daemon("door", w.c.AttendAsleep)
		s.Go("A", func() { must(a.Send(background, make([]byte, 200), false, true)) })
		s.Go("peer", w.peer.Skip)
	})
}
