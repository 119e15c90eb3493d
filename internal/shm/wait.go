package shm

import (
	"sync/atomic"
	"time"
)

// What a wait word says of the end that sets it. Only that end sets it to parked or
// napping; both set it to awake. A peer that breaks the rules may store anything; a
// value unknown here is as good as awake.
const (
	awake   = 0
	parked  = 1 // asleep until the doorbell rings
	napping = 2 // asleep for a short time on the word itself (futex)
)

// takeWait is W2 and W3: it tells whether the other end waits for the doorbell, and
// takes its announcement away. The plain load keeps the word's cache line shared
// while nobody sleeps.
func takeWait(wait *atomic.Uint32) bool {
	switch wait.Load() {
	case parked:
		return wait.CompareAndSwap(parked, awake)
	case napping:
		if wait.CompareAndSwap(napping, awake) {
			futexWake(wait)
		}
	}
	return false
}

// nap is a sleeper's S1 to S3 in one. The kernel compares the word as it goes to
// sleep, so the announcement can't be taken unnoticed; were the wake-up lost all the
// same, by what the peer does, the time bounds the loss.
func nap(wait *atomic.Uint32, limit time.Duration, ready func() bool) bool {
	wait.Store(napping)
	if !ready() {
		futexWait(wait, napping, limit)
	}
	wait.Store(awake)
	return ready()
}
