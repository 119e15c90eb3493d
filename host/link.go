package host

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// A Link joins two hosts. Each calls what the other exports, whoever dialled.
type Link struct {
	host   *Host
	frames *link.Link
	target string // what was dialled, or where the peer is
	peer   *peer.Peer

	// grpc is the way to the peer that needs no frames: the connection that
	// this end dialled, or the other direction of a direct one. Or nil.
	grpc   grpc.ClientConnInterface
	dial   *dialled             // if this end dialled
	plain  bool                 // the peer is a server that knows nothing of links
	conn   *carpgrpc.ClientConn // what it dialled
	beside *besideConn          // conn, for calls
	server *carpgrpc.Server     // serves the other direction of a direct conn; or nil
	tunnel tunnel

	// ourSession is what the peer sends with its calls beside the link, and
	// theirSession what this end does. One of them is "".
	ourSession   string
	theirSession string

	done          chan struct{}
	announced     chan struct{} // closed when the peer's exports are known
	announcedOnce sync.Once
	notified      atomic.Bool // the peer has said that it is leaving

	refused refusals
	pace    pace // of announcements; the reader's
	telling
	objects *holdings // of this host, that the peer holds
	answers *room     // for what waits for the peer to read it
	asked   *room     // the same, for requests

	peerState // guarded by peers.mu
}

// PeerID is the id of the host at the other end.
func (l *Link) PeerID() string { return l.frames.Peer().GetHostId() }

// PeerLabel is its label.
func (l *Link) PeerLabel() string { return l.frames.Peer().GetLabel() }

// Target is what was dialled, or the address of the peer if it dialled.
func (l *Link) Target() string { return l.target }

// Done is closed when the link has ended: calls over it have failed, and the
// peer no longer counts as a provider. If this end dialled and has not closed the
// link, it dials again, which makes a new link.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is why the link has ended, or nil while it stands.
func (l *Link) Err() error { return l.frames.Err() }

var errClosedHere = status.Error(codes.Unavailable, "the link was closed on this side")

// Close ends the link, and the wish for it: neither end dials again. Calls in
// flight over it fail with Unavailable.
func (l *Link) Close() error {
	if l.dial != nil {
		l.dial.giveUp()
	}
	l.frames.Close(errClosedHere)
	return nil
}

// label is the peer's label, once it has said hello. A client that has no id
// opened the link for a session, and is no host.
func (l *Link) label() (string, bool) {
	hello := l.frames.Peer()
	return hello.GetLabel(), hello.GetHostId() != ""
}

// startLink makes a link of a stream, which the function ended ends. The error is
// ErrClosed; the stream is then left to the caller.
func (h *Host) startLink(stream link.Stream, l *Link, ended func()) error {
	l.host = h
	l.done = make(chan struct{})
	l.announced = make(chan struct{})
	l.offers = make(map[string]*offer)
	l.objects = h.objects.newHoldings()
	l.answers, l.asked = newRoom(h.maxUnread), newRoom(h.maxUnread)
	l.tunnel.ready = make(chan struct{})
	l.frames = link.New(link.Config{
		Opened:       l.conn != nil,
		Hello:        l.hello(),
		Limits:       h.limits(),
		Keepalive:    keepaliveOf(l.peer),
		Context:      h.ctx,
		Serve:        l.serve,
		Greet:        l.greet,
		Exports:      l.announcedTo,
		Announcement: func() *carpv1.Exports { return h.exports.next(l) },
		Left:         func(reason string) { h.leaving(l, reason) },
		Tunnel:       l.openTunnel,
		Release:      func(all []*carpv1.Released) { h.spawn(func() { l.give(all) }) },
	})
	if back, ok := l.grpc.(*backConn); ok {
		back.over = l.frames.Context()
	}
	if !h.peers.add(l) {
		l.frames.Close(ErrClosed)
		return ErrClosed
	}
	h.exports.join(l)
	if !h.spawn(func() { h.endLink(l, ended) }) {
		h.forget(l)
		l.frames.Close(ErrClosed)
		return ErrClosed
	}
	l.frames.Start(stream)
	return nil
}

// hello is what this end says of itself.
func (l *Link) hello() *carpv1.Hello {
	h := l.host
	hello := &carpv1.Hello{HostId: h.id, Nonce: h.nonce, Label: h.label, Agent: "carp-go", Session: l.ourSession}
	if !h.noTunnel {
		hello.Features = []string{link.Tunnel}
	}
	return hello
}

// greet hears what the peer says of itself.
func (l *Link) greet(hello *carpv1.Hello) error {
	if l.dial != nil && len(hello.GetSession()) <= maxSession {
		l.theirSession = hello.GetSession()
	}
	return l.host.peers.greet(l.host, l, hello)
}

// announcedTo hears what the peer announces.
func (l *Link) announcedTo(e *carpv1.Exports) error {
	l.slow(e)
	return l.host.applyExports(l, e)
}

// forget makes a link neither told of exports nor a provider of any.
func (h *Host) forget(l *Link) {
	h.exports.leave(l)
	h.peers.drop(l)
}

// endLink waits for the end of a link and clears up after it.
func (h *Host) endLink(l *Link, ended func()) {
	<-l.frames.Done()
	h.forget(l)
	close(l.done)
	l.objects.close()
	label, _ := l.label()
	h.unlinked(l)
	h.log.Debug("a link has ended", "peer", label, "target", l.target, "err", l.Err())
	ended()
	l.frames.Wait()
	l.closeTunnel()
	if l.conn == nil {
		return
	}
	if !l.notified.Load() || !h.spawn(l.closeConnLater) {
		l.closeConn()
	}
	l.dial.ended(l)
}

// peerServer is the service by which other hosts link up with this one.
type peerServer struct {
	carpv1.UnimplementedPeerServer
	host *Host
}

// Link implements [carpv1.PeerServer]. It lasts as long as the link.
func (s *peerServer) Link(stream grpc.BidiStreamingServer[carpv1.Frame, carpv1.Frame]) error {
	h := s.host
	ctx := stream.Context()
	l := &Link{target: "accepted", ourSession: newSession(), grpc: wayBack(ctx)}
	if p, ok := peer.FromContext(ctx); ok {
		l.peer, l.target = p, describePeer(p)
	}
	// The stream ends when this function returns.
	if err := h.startLink(stream, l, func() {}); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	select {
	case <-l.frames.Ready():
		h.linkedUp(l)
		h.log.Debug("a host has linked up", "peer", l.PeerLabel(), "target", l.target)
	case <-l.frames.Done():
	}
	<-l.frames.Done()
	if err := l.Err(); !errors.Is(err, errClosedHere) {
		return err
	}
	return nil // the peer need not dial again
}

// linkOf is the link that a call in the dispatcher belongs to, or nil. The methods of
// carp.v1.Peer are called with one, except Link.
func linkOf(ctx context.Context) *Link {
	if c, ok := grpc.ServerTransportStreamFromContext(ctx).(*call); ok {
		return c.link
	}
	return nil
}

// describePeer is where a peer is. The sockets of clients have no names.
func describePeer(p *peer.Peer) string {
	if p.Addr == nil {
		return "accepted"
	}
	if s := p.Addr.String(); s != "" && s != "@" {
		return "accepted from " + s
	}
	return "accepted over " + p.Addr.Network()
}
