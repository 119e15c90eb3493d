package shmconn

import (
	"sync"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// door is where the two halves of a connection wait for the doorbell. One goroutine
// at a time can listen to it; the other half waits to be told.
//
//   - A half that comes first holds the door: it sleeps in [shm.Session.Wait], which
//     looks after the announcements of both.
//   - A half that comes second registers and sleeps on its channel.
//   - Whenever the holder wakes up, for whatever reason, it leaves the door and wakes
//     the registered half, which looks for itself and may then hold the door.
//
// So a bell is heard by someone as long as anyone waits: who registers does so
// under mu after looking whether its announcement was taken, and the holder looks
// at the announcements of the registered under mu after its poller began to listen.
type door struct {
	sess   *shm.Session
	asleep func() bool // bound once: still

	mu     sync.Mutex
	holder *half
	other  *half
	kicked bool
}

func (d *door) init(sess *shm.Session) {
	d.sess = sess
	d.asleep = d.still
}

// park sleeps until the doorbell rings or h is roused, for h that has announced
// itself and found nothing to do. It may return without a reason.
func (d *door) park(h *half) {
	if !d.enter(h) {
		return
	}
	d.sess.Wait(d.asleep)
	if other := d.leave(); other != nil {
		signal(other.wake)
	}
}

// enter makes h the holder of the door, or waits as the other half and fails.
func (d *door) enter(h *half) bool {
	d.mu.Lock()
	if d.holder == nil {
		select {
		case <-h.wake: // roused on its way here: it has to look again first
			d.mu.Unlock()
			return false
		default:
		}
		d.holder = h
		if d.kicked {
			d.kicked = false
			d.sess.Unkick()
		}
		d.mu.Unlock()
		return true
	}
	listen := h.ring.Announced()
	if listen {
		d.other = h
	}
	d.mu.Unlock()
	if listen {
		<-h.wake
	}
	return false
}

// still tells whether the announcements of all who wait stand.
func (d *door) still() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holder.ring.Announced() && (d.other == nil || d.other.ring.Announced())
}

func (d *door) leave() (other *half) {
	d.mu.Lock()
	defer d.mu.Unlock()
	other = d.other
	d.holder, d.other = nil, nil
	return other
}

// rouse wakes h if it waits at the door, or else lets it pass when it next comes.
func (d *door) rouse(h *half) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder != h {
		signal(h.wake)
		return
	}
	d.kicked = true
	d.sess.Kick()
}

// signal puts a token into wake, unless one is there already.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
