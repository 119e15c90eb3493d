package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
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
	conn   *carpgrpc.ClientConn // to the peer, if this end dialled
	target string               // what was dialled, or where the peer is
	peer   *peer.Peer

	done          chan struct{}
	announced     chan struct{} // closed when the peer's exports are known
	announcedOnce sync.Once

	// What the peer offers; guarded by peers.mu.
	offers         map[string]*offer
	offeredMethods int
	generation     uint64
	announcing     bool // more frames of this generation follow
}

// PeerID is the id of the host at the other end.
func (l *Link) PeerID() string { return l.frames.Peer().GetHostId() }

// PeerLabel is its label.
func (l *Link) PeerLabel() string { return l.frames.Peer().GetLabel() }

// Target is what was dialled, or the address of the peer if it dialled.
func (l *Link) Target() string { return l.target }

// Done is closed when the link has ended: calls over it have failed, and the
// peer no longer counts as a provider.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is why the link has ended, or nil while it stands.
func (l *Link) Err() error { return l.frames.Err() }

// Close ends the link. Calls in flight over it fail with Unavailable.
func (l *Link) Close() error {
	l.frames.Close(status.Error(codes.Unavailable, "the link was closed on this side"))
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
	l.frames = link.Start(stream, link.Config{
		Opened:  l.conn != nil,
		Hello:   &carpv1.Hello{HostId: h.id, Nonce: h.nonce, Label: h.label, Agent: "carp-go"},
		Limits:  h.limits(),
		Context: h.ctx,
		Serve:   l.serve,
		Exports: func(e *carpv1.Exports) error { return h.peers.apply(l, e) },
	})
	if h.peers.add(l) {
		h.exports.join(l.frames)
		if h.spawn(func() { h.endLink(l, ended) }) {
			return nil
		}
		h.forget(l)
	}
	l.frames.Close(ErrClosed)
	return ErrClosed
}

// forget makes a link neither told of exports nor a provider of any.
func (h *Host) forget(l *Link) {
	h.exports.leave(l.frames)
	h.peers.drop(l)
}

// endLink waits for the end of a link and clears up after it.
func (h *Host) endLink(l *Link, ended func()) {
	<-l.frames.Done()
	h.forget(l)
	close(l.done)
	label, _ := l.label()
	h.log.Debug("a link has ended", "peer", label, "target", l.target, "err", l.Err())
	ended()
	l.frames.Wait()
	if l.conn != nil {
		l.conn.Close()
	}
}

// peerServer is the service by which other hosts link up with this one.
type peerServer struct {
	carpv1.UnimplementedPeerServer
	host *Host
}

// Link implements [carpv1.PeerServer]. It lasts as long as the link.
func (s *peerServer) Link(stream grpc.BidiStreamingServer[carpv1.Frame, carpv1.Frame]) error {
	h := s.host
	l := &Link{target: "accepted"}
	if p, ok := peer.FromContext(stream.Context()); ok {
		l.peer, l.target = p, describePeer(p)
	}
	// The stream ends when this function returns.
	if err := h.startLink(stream, l, func() {}); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	select {
	case <-l.frames.Ready():
		h.log.Debug("a host has linked up", "peer", l.PeerLabel(), "target", l.target)
	case <-l.frames.Done():
	}
	<-l.frames.Done()
	return l.Err()
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

// linkWire is a call that came over a link.
type linkWire struct {
	in     *link.Incoming
	read   bool
	header metadata.MD
	body   []byte
}

var _ wire = (*linkWire)(nil)

func (w *linkWire) recv() (mem.BufferSlice, error) {
	if w.read {
		return nil, io.EOF
	}
	w.read = true
	payload := w.in.Payload()
	return mem.BufferSlice{mem.NewBuffer(&payload, counted(w.in.Free))}, nil
}

// counted is the pool to which the memory of a large request goes back: the room
// that the link has for such requests. Small ones don't take any.
type counted func()

func (counted) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

func (free counted) Put(*[]byte) { free() }

func (w *linkWire) sendHeader(md metadata.MD) error {
	w.header = md
	return nil
}

func (w *linkWire) send(msg mem.BufferSlice) error {
	w.body = msg.Materialize()
	msg.Free()
	return nil
}

// serve answers one call that came over the link.
func (l *Link) serve(in *link.Incoming) {
	md := in.Metadata()
	maps.DeleteFunc(md, func(key string, _ []string) bool { return strings.HasPrefix(key, reservedPrefix) })
	ctx := metadata.NewIncomingContext(in.Context(), md)
	if l.peer != nil {
		ctx = peer.NewContext(ctx, l.peer)
	}
	w := &linkWire{in: in}
	trailer, err := l.host.dispatch(ctx, in.Method(), in.Codec(), w)
	if !w.read {
		in.Free()
	}
	result := link.Result{Status: status.Convert(err), Header: w.header, Trailer: trailer}
	if err == nil {
		result.Payload = w.body
	} else if exception := trailer.Get(exceptionKey); len(exception) > 0 {
		result.Exception = exception[0]
		trailer.Delete(exceptionKey)
	}
	in.Reply(result)
}

// call makes a call over the link's frames.
func (l *Link) call(ctx context.Context, q *request) (*reply, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	resp, err := l.frames.Call(ctx, &link.Request{
		Method:   q.path,
		Codec:    q.codec,
		Payload:  q.body,
		Metadata: md,
		OneWay:   q.oneWay,
	})
	if err != nil {
		return nil, l.explain(err)
	}
	r := &reply{header: resp.Header, trailer: resp.Trailer}
	if resp.Status.Code() == codes.OK {
		r.body = mem.BufferSlice{mem.SliceBuffer(resp.Payload)}
		return r, nil
	}
	if r.trailer == nil {
		r.trailer = make(metadata.MD, 1)
	}
	r.trailer.Set(exceptionKey, resp.Exception)
	return r, resp.Status.Err()
}

// explain says which link it was that was lost.
func (l *Link) explain(err error) error {
	if _, ok := errors.AsType[*link.LostError](err); !ok {
		return err
	}
	label, _ := l.label()
	return fmt.Errorf("host %q (%s): %w", label, l.target, err)
}
