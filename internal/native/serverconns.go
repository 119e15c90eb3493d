package native

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// conns are the connections that a server serves.
type conns struct {
	mu       sync.Mutex
	own      map[*direct.Conn]<-chan struct{} // closed when all is over but handlers
	lent     map[*direct.Conn]struct{}        // those of clients, which end them
	stopping bool
}

// add fails when the server is being stopped.
func (s *conns) add(conn *direct.Conn, over <-chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.own == nil {
		s.own = map[*direct.Conn]<-chan struct{}{}
	}
	s.own[conn] = over
	return true
}

// lend fails when the server is being stopped.
func (s *conns) lend(conn *direct.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.lent == nil {
		s.lent = map[*direct.Conn]struct{}{}
	}
	s.lent[conn] = struct{}{}
	return true
}

func (s *conns) remove(conn *direct.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, conn)
	delete(s.lent, conn)
}

// stop takes no connections any more, and returns those there are.
func (s *conns) stop() (own map[*direct.Conn]<-chan struct{}, lent []*direct.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	return maps.Clone(s.own), slices.Collect(maps.Keys(s.lent))
}

// Serve serves a connection, which is the server's from here on. spin is how long it spins at
// most before it sleeps. Serve returns at once.
func (s *Server) Serve(link direct.Link, p *peer.Peer, spin time.Duration) {
	h := s.newConnHandler(p)
	if s.cfg.PerConn != nil {
		h.ctx = s.cfg.PerConn(h.ctx)
	}
	h.ctx = connBegun(h.ctx, p, s.cfg.Stats, false)
	conn, err := direct.New(link, direct.Options{Spin: spin, Handler: h, MaxHandlers: s.cfg.MaxHandlers})
	if err != nil { // the link was closed already
		link.Close()
		connEnded(h.ctx, s.cfg.Stats, false)
		return
	}
	over := make(chan struct{})
	if !s.conns.add(conn, over) {
		conn.Close()
	}
	go func() {
		defer close(over)
		s.limitLife(conn)
		<-conn.Gone()
		s.conns.remove(conn)
		connEnded(h.ctx, s.cfg.Stats, false)
	}()
}

// Refuse answers all calls on a connection with a status, and ends it after a while.
func (s *Server) Refuse(link direct.Link, st *status.Status) {
	conn, err := direct.New(link, direct.Options{Handler: newRefuser(st), MaxHandlers: maxRefusals})
	if err != nil {
		link.Close()
		return
	}
	over := make(chan struct{})
	if !s.conns.add(conn, over) {
		conn.Close()
	}
	timer := time.AfterFunc(refuseFor, conn.Close)
	go func() {
		defer close(over)
		<-conn.Gone()
		timer.Stop()
		s.conns.remove(conn)
	}()
}

// attach serves the calls that come in on a client's connection, until that ends.
func (s *Server) attach(conn *direct.Conn) {
	if !s.conns.lend(conn) {
		conn.GoAway()
		return
	}
	go func() {
		<-conn.Gone()
		s.conns.remove(conn)
	}()
}

// GracefulStop refuses new calls, waits for those under way and their handlers, and ends the
// connections but for those of clients. A Stop meanwhile cuts it short.
func (s *Server) GracefulStop() {
	own, lent := s.conns.stop()
	for c := range own {
		c.GoAway()
	}
	for _, c := range lent {
		c.GoAway()
	}
	for c, over := range own {
		c.Drained()
		c.Leave()
		<-over
		c.HandlersDone()
	}
	for _, c := range lent {
		c.HandlersDone()
	}
}

// Stop ends all connections, which cancels the calls under way. With wait, it returns when
// their handlers have.
func (s *Server) Stop(wait bool) {
	own, lent := s.conns.stop()
	for c := range own {
		c.Close()
	}
	for _, c := range lent {
		c.GoAway()
		c.Close()
	}
	for _, over := range own {
		<-over
	}
	for _, c := range lent {
		<-c.Gone()
	}
	if !wait {
		return
	}
	for c := range own {
		c.HandlersDone()
	}
	for _, c := range lent {
		c.HandlersDone()
	}
}

// limitLife ends a connection that has been idle, or there, for too long.
func (s *Server) limitLife(conn *direct.Conn) {
	if s.cfg.MaxIdle <= 0 && s.cfg.MaxAge <= 0 {
		return
	}
	ended, old := s.awaitEnd(conn)
	if !ended {
		return
	}
	conn.GoAway()
	if grace := s.cfg.MaxAgeGrace; old && grace > 0 {
		timer := time.AfterFunc(grace, conn.Close)
		defer timer.Stop()
	}
	conn.Drained()
	conn.Leave()
}

// awaitEnd waits until a connection is idle or old. It is neither when it ended by itself.
func (s *Server) awaitEnd(conn *direct.Conn) (ended, old bool) {
	var idleTick, oldTick <-chan time.Time
	if s.cfg.MaxIdle > 0 {
		ticker := time.NewTicker(max(s.cfg.MaxIdle/2, time.Millisecond))
		defer ticker.Stop()
		idleTick = ticker.C
	}
	if s.cfg.MaxAge > 0 {
		// Many clients that connected at once are not to do so again at once.
		timer := time.NewTimer(time.Duration(float64(s.cfg.MaxAge) * (0.9 + 0.2*rand.Float64())))
		defer timer.Stop()
		oldTick = timer.C
	}
	for watch := (Idleness{}); ; {
		select {
		case <-conn.Done():
			return false, false
		case <-oldTick:
			return true, true
		case <-idleTick:
			if watch.Look(conn) {
				return true, false
			}
		}
	}
}

// Idleness finds out whether a connection is used. Look at it twice in the time after which it
// counts as idle.
type Idleness struct {
	ours, theirs uint64
	quiet        int
}

// Look tells whether no call was under way, either way, at this look and the last two, nor
// was made in between.
func (w *Idleness) Look(conn *direct.Conn) bool {
	ours, theirs := conn.Opened()
	open, served := conn.Streams()
	if ours != w.ours || theirs != w.theirs || open > 0 || served > 0 || conn.Handlers() > 0 {
		w.ours, w.theirs, w.quiet = ours, theirs, 0
		return false
	}
	w.quiet++
	return w.quiet >= 2
}

// connHandler finds the methods for one connection.
type connHandler struct {
	server   *Server
	ctx      context.Context
	peer     *peer.Peer
	settings direct.Method
	theirs   atomic.Pointer[settings] // once told
	back     backCaller
}

func (s *Server) newConnHandler(p *peer.Peer) *connHandler {
	h := &connHandler{server: s, ctx: peer.NewContext(context.Background(), p), peer: p}
	ours := settings{maxHeader: s.cfg.MaxHeader, maxStreams: s.cfg.MaxHandlers, serves: true}
	h.settings = direct.Method{Unary: true, Serve: func(st *direct.Stream) {
		theirs := settingsOf(st.Request().Metadata())
		h.told(theirs)
		if theirs.maxStreams > 0 {
			st.Conn().LimitStreams(theirs.maxStreams)
		}
		st.Returned()
		st.Finish(context.Background(), nil, direct.Answer{}, &direct.Trailer{MD: ours.md()})
	}}
	return h
}

// told is given the other end's settings. Those that come later are not heard.
func (h *connHandler) told(theirs settings) { h.theirs.CompareAndSwap(nil, &theirs) }

// Method implements [direct.Handler].
func (h *connHandler) Method(r *direct.Request) *direct.Method {
	if m, ok := h.server.methods[r.Method]; ok {
		return &m.Method
	}
	if isSettings(r) {
		return &h.settings
	}
	return h.server.unregistered(r.Method)
}
