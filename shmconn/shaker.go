package shmconn

import (
	"container/list"
	"net"
	"sync"
	"time"

	"github.com/carp-rpc/carp-go/internal/shm"
)

// shaker bounds the handshakes of a listener, in number and in time. When one too
// many comes, the oldest is given up: an honest peer is done long before it is the
// oldest, so silent ones delay nobody.
type shaker struct {
	slots chan struct{} // one for each connection not yet given to Accept

	mu    sync.Mutex
	order list.List // of *net.UnixConn in a handshake, oldest first
	place map[*net.UnixConn]*list.Element
}

func newShaker(most int) *shaker {
	return &shaker{slots: make(chan struct{}, most), place: map[*net.UnixConn]*list.Element{}}
}

// begin takes a slot for conn. If all slots belong to connections that wait for
// Accept, it waits too. It fails when the listener is closed.
func (s *shaker) begin(conn *net.UnixConn, closed <-chan struct{}) bool {
	select {
	case s.slots <- struct{}{}:
	default:
		s.evict()
		select {
		case s.slots <- struct{}{}:
		case <-closed:
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place[conn] = s.order.PushBack(conn)
	return true
}

// evict makes the oldest handshake fail, if there is one.
func (s *shaker) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if oldest := s.order.Front(); oldest != nil {
		s.giveUp(oldest)
	}
}

func (s *shaker) giveUp(e *list.Element) {
	conn := s.order.Remove(e).(*net.UnixConn)
	delete(s.place, conn)
	_ = conn.SetDeadline(time.Unix(1, 0))
}

// settle takes conn off the handshakes under way, so that it can't be given up any
// more. It fails if it was.
func (s *shaker) settle(conn *net.UnixConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.place[conn]
	if ok {
		s.order.Remove(e)
		delete(s.place, conn)
	}
	return ok
}

// leave gives the slot back.
func (s *shaker) leave() { <-s.slots }

// end is settle and leave, for a handshake that failed.
func (s *shaker) end(conn *net.UnixConn) {
	s.settle(conn)
	s.leave()
}

// close gives all handshakes up.
func (s *shaker) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.order.Len() > 0 {
		s.giveUp(s.order.Front())
	}
}

// handshake does the handshake of conn within its time.
func (l *Listener) handshake(conn *net.UnixConn) (*shm.Session, error) {
	if err := conn.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout)); err != nil {
		return nil, err
	}
	var protos []string
	if p := l.protos.Load(); p != nil {
		protos = *p
	}
	sess, err := shm.Accept(conn, l.cfg.options(protos))
	if !l.shaker.settle(conn) && err == nil {
		sess.Close()
		return nil, errGivenUp
	}
	if err != nil {
		return nil, err
	}
	// No one but the doorbell uses the socket from here on.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		sess.Close()
		return nil, err
	}
	return sess, nil
}
