package shmconn

import "time"

// backoff is the pause after a failed accept, which fails again at once as long as the
// process is out of descriptors.
type backoff struct{ next time.Duration }

func (b *backoff) reset() { b.next = 0 }

// sleep waits, longer each time up to a second. It fails when closed is.
func (b *backoff) sleep(closed <-chan struct{}) bool {
	b.next = min(max(2*b.next, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.next)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-closed:
		return false
	}
}
