package shmconn

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// shaker bounds the handshakes of a listener, in number and in time, so that diallers
// who connect and then do nothing, or stop half-way, delay nobody. When one comes for
// whom there is no place, those are given up whose grace is over; an honest dialler needs
// well under a millisecond, unless the machine is very busy.
type shaker struct {
	places chan struct{} // one for each dialler, until Accept has taken its connection

	mu     sync.Mutex
	guests list.List // of *guest: in a handshake, oldest first
	closed bool
}

// grace is how long a handshake may take while others wait.
const grace = 250 * time.Millisecond

var errGivenUp = errors.New("handshake given up: too slow while others waited, or the listener closed")

func newShaker(most int) *shaker { return &shaker{places: make(chan struct{}, most)} }

// guest is one dialler.
type guest struct {
	conn  *net.UnixConn
	since time.Time
	place *list.Element // nil when the handshake is over, or was given up
}

// begin waits for a place for a dialler. It fails when the listener is closed.
func (s *shaker) begin(conn *net.UnixConn, closed <-chan struct{}) *guest {
	if !s.take(closed) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		<-s.places
		return nil
	}
	g := &guest{conn: conn, since: time.Now()}
	g.place = s.guests.PushBack(g)
	return g
}

func (s *shaker) take(closed <-chan struct{}) bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	look := time.NewTicker(grace / 10)
	defer look.Stop()
	for {
		s.evict()
		select {
		case s.places <- struct{}{}:
			return true
		case <-look.C:
		case <-closed:
			return false
		}
	}
}

// evict gives up the handshakes whose grace is over.
func (s *shaker) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.guests.Front(); e != nil && time.Since(e.Value.(*guest).since) >= grace; e = s.guests.Front() {
		s.giveUp(e)
	}
}

// giveUp makes a handshake fail.
func (s *shaker) giveUp(e *list.Element) {
	g := s.guests.Remove(e).(*guest)
	g.place = nil
	_ = g.conn.SetDeadline(time.Unix(1, 0))
}

// settle ends g's handshake, so that it can't be given up any more. It fails if it was.
func (s *shaker) settle(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.place == nil {
		return false
	}
	s.guests.Remove(g.place)
	g.place = nil
	return true
}

// leave gives g's place back.
func (s *shaker) leave() { <-s.places }

// close gives all handshakes up.
func (s *shaker) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for s.guests.Len() > 0 {
		s.giveUp(s.guests.Front())
	}
}

// handshake does the handshake of g within its time.
func (l *Listener) handshake(g *guest) (*shm.Session, error) {
	var sess *shm.Session
	err := g.conn.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout))
	if err == nil {
		sess, err = shm.Accept(g.conn, l.cfg.options(l.offered()))
	}
	if !l.shaker.settle(g) {
		if err == nil {
			sess.Close()
		}
		return nil, errGivenUp
	}
	if err != nil {
		return nil, err
	}
	// No one but the doorbell uses the socket from here on.
	if err := g.conn.SetDeadline(time.Time{}); err != nil {
		sess.Close()
		return nil, err
	}
	return sess, nil
}

// offered are the upper protocols that the listener's user speaks, see package upper.
func (l *Listener) offered() []string {
	if p := l.protos.Load(); p != nil {
		return *p
	}
	return nil
}
