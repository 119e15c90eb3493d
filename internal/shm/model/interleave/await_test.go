//go:build explore

package interleave_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore"
	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/shm/model/sim"
)

// sleeper is a reader that sleeps on a channel, which the goroutine in Await fills:
// the other way to use a session.
type sleeper struct {
	sess *shm.Session
	wake chan struct{}
}

func (r *sleeper) woken() {
	explore.Offer(r.wake)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// read takes n bytes, one at a time. With again it announces itself before each sleep,
// as it must, or else only when it begins to wait.
func (r *sleeper) read(n int, again bool) {
	rx := r.sess.RX()
	for range n {
		announced := false
		for !r.readable() {
			if again || !announced {
				rx.Announce()
				announced = true
				if r.readable() {
					break
				}
			}
			explore.Recv(r.wake)
		}
		rx.Retract()
		if _, err := rx.Read(make([]byte, 1)); err != nil {
			panic(err)
		}
		if rx.NeedWake() {
			r.sess.Ring()
		}
	}
}

func (r *sleeper) readable() bool {
	n, err := r.sess.Readable(1)
	must(err)
	return n > 0
}

func awaiting(again bool) func(s *explore.Schedule) {
	return func(s *explore.Schedule) {
		sockA, sockB := sim.Pair(8)
		a, b := shm.ModelSessions(4, sockA, sockB)
		r := sleeper{b, make(chan struct{}, 1)}
		s.Daemon("B awaits", func() { b.Await(r.woken) })
		s.Go("A writes", func() {
			for range 2 {
				_, err := a.TX().Write([]byte{1})
				must(err)
				if a.TX().NeedWake() {
					a.Ring()
				}
			}
		})
		s.Go("B reads", func() { r.read(2, again) })
	}
}

func TestAwait(t *testing.T) { exhaust(t, awaiting(true)) }

// TestLostWakeUp takes out the rule that a sleeper that was woken for nothing announces
// itself again. Then a waker that was delayed takes the announcement of a later
// sleep away, rings for bytes that were read long ago, and nobody rings for the
// next ones. An exploration that doesn't find that is no proof.
func TestLostWakeUp(t *testing.T) {
	r := explore.Run(explore.Options{}, awaiting(false))
	if r.Err == nil {
		t.Fatalf("not found in %d runs, complete %v", r.Runs, r.Complete)
	}
	t.Logf("found in run %d: %v", r.Runs, r.Err)
}
