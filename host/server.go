package host

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // Python clients compress with it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// maxFrame bounds the frames of links, and all that comes in internal streams.
const maxFrame = 4 << 20

// internalStreams is the room for the link, and whatever watches and reflects,
// beside a peer's calls.
const internalStreams = 16

// shutdownGrace is how long Serve lets calls finish when its context has ended.
const shutdownGrace = 5 * time.Second

// Listen makes the host reachable at targets ("shm:///run/app.sock",
// "unix:///run/app.grpc", "tcp://127.0.0.1:7000", see package dialer) and
// returns when it is, with the addresses in the order of the targets. It serves
// until the host is closed. Ctx bounds Listen only. If one target fails, none is
// served.
func (h *Host) Listen(ctx context.Context, targets ...string) ([]net.Addr, error) {
	lis, err := h.listen(ctx, targets)
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", h.label, err)
	}
	s := h.newServer(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		closeListeners(lis)
		return nil, fmt.Errorf("host %q: %w", h.label, ErrClosed)
	}
	h.servers[s] = struct{}{}
	addrs := make([]net.Addr, len(lis))
	for i, l := range lis {
		addrs[i] = l.Addr()
		h.tasks.Go(func() { h.accept(s, l) })
		defer h.status(Status{State: Serving, Target: dialer.TargetOf(l.Addr())})
	}
	return addrs, nil
}

// Serve makes the host reachable at targets, as Listen does, and returns when
// ctx is done or the host is closed. When ctx is done the host is shut down;
// calls in flight have five seconds to finish. The error is nil after an orderly
// end.
func (h *Host) Serve(ctx context.Context, targets ...string) error {
	if _, err := h.Listen(ctx, targets...); err != nil {
		return err
	}
	select {
	case <-h.ctx.Done():
		return nil
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	return h.Shutdown(grace)
}

func (h *Host) listen(ctx context.Context, targets []string) ([]net.Listener, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("listen: no targets are given")
	}
	lis := make([]net.Listener, 0, len(targets))
	for _, target := range targets {
		if err := h.checkTCP(target); err != nil {
			closeListeners(lis)
			return nil, err
		}
		l, err := h.transport.Listen(ctx, target)
		if err != nil {
			closeListeners(lis)
			return nil, err
		}
		lis = append(lis, l)
	}
	return lis, nil
}

// checkTCP refuses at once what would be refused at each connection.
func (h *Host) checkTCP(target string) error {
	if h.transport.TCP == nil && strings.HasPrefix(strings.ToLower(target), "tcp:") {
		return fmt.Errorf("%s: TCP is served with TLS credentials (WithTCP), or in plain text on purpose (WithInsecureTCP); neither is given", target)
	}
	return nil
}

func closeListeners(lis []net.Listener) {
	for _, l := range lis {
		l.Close()
	}
}

// newServer makes the server of one Listen, or of one link's other direction. It
// has no services: all calls go to the dispatcher.
func (h *Host) newServer(l *Link) *carpgrpc.Server {
	opts := []carpgrpc.ServerOption{
		carpgrpc.Creds(h.transport.TCP),
		carpgrpc.AllowPeer(h.transport.Allow),
		carpgrpc.Logger(h.log),
		carpgrpc.ForceServerCodecV2(raw.Codec(protoCodec)),
		carpgrpc.UnknownServiceHandler(h.handler(l)),
		bothways.Single(h.single).(carpgrpc.ServerOption),
		bothways.PerConn(h.withAnswers).(carpgrpc.ServerOption),
		carpgrpc.MaxRecvMsgSize(max(h.maxMessage, maxFrame)),
		carpgrpc.MaxConcurrentStreams(uint32(h.maxCalls + internalStreams)),
	}
	if h.ownGoroutines {
		opts = append(opts, carpgrpc.HandlerGoroutines())
	}
	return carpgrpc.NewServer(opts...)
}

func (h *Host) accept(s *carpgrpc.Server, l net.Listener) {
	err := s.Serve(l)
	if err != nil && h.ctx.Err() == nil {
		h.log.Error("a listener has failed", "addr", l.Addr().String(), "err", err)
	}
}

// grpcWire is a call that came through a gRPC server, whatever it speaks: HTTP/2,
// or frames in shared memory.
type grpcWire struct {
	call   call
	stream grpc.ServerStream

	in, out raw.Message // on their way
}

var _ wire = (*grpcWire)(nil)

func (w *grpcWire) recv() (raw.Message, error) {
	w.in = raw.Message{}
	err := w.stream.RecvMsg(&w.in)
	return w.in, err
}

func (w *grpcWire) sendHeader(md metadata.MD) error {
	return w.stream.SendHeader(md)
}

func (w *grpcWire) send(msg raw.Message, sent func()) error {
	w.out = inRoom(msg, sent)
	defer w.out.Free()
	return w.stream.SendMsg(&w.out)
}

// handler takes every call of a server. With a link, all of them are its peer's;
// otherwise they say to which link they belong.
func (h *Host) handler(l *Link) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		path, ok := grpc.MethodFromServerStream(stream)
		if !ok {
			return status.Error(codes.Internal, "the call has no method")
		}
		w := &grpcWire{stream: stream}
		c := &w.call
		c.values.Context = stream.Context()
		var said reserved
		if in, ok := stream.(bothways.RawIncoming); ok {
			said, c.values.strip = reservedOf(in.Pairs()), true
		} else {
			c.values.md, _ = metadata.FromIncomingContext(stream.Context())
			said = takeReserved(c.values.md)
			if l == nil {
				// What gRPC compresses is not what has been counted. In shared
				// memory compressing changes nothing about the room.
				_ = grpc.SetSendCompressor(stream.Context(), encoding.Identity)
			}
		}
		c.path, c.codec, c.callFlags, c.wire = path, said.codec, said.callFlags, w
		if c.link = l; l == nil {
			c.link = h.peers.session(said.session)
			c.answers, _ = stream.Context().Value(answersKey{}).(*room)
		} else {
			c.answers, c.values.peer = l.answers, l.peer
		}
		trailer, err := h.dispatch(c)
		stream.SetTrailer(trailer)
		return err
	}
}

// reserved is what a call over gRPC says in metadata that is not its user's.
type reserved struct {
	callFlags
	codec   string // as its caller tagged it, "" for none
	session string // of the link that it belongs to
}

// takeReserved reads and removes what is not for the user. The codec is named by the
// content-subtype, or by metadata if the caller can't send one.
func takeReserved(md metadata.MD) reserved {
	var r reserved
	for key, values := range md {
		if strings.HasPrefix(key, reservedPrefix) && len(values) > 0 {
			r.take(key, values[0])
			delete(md, key)
		}
	}
	for _, contentType := range md["content-type"] {
		r.subtype(contentType)
	}
	return r
}

// reservedOf is takeReserved for metadata of which there is no map.
func reservedOf(pairs direct.Pairs) reserved {
	var r reserved
	var contentType string
	for {
		key, value, ok := pairs.Next()
		switch {
		case !ok:
			r.subtype(contentType)
			return r
		case strings.HasPrefix(key, reservedPrefix):
			r.take(key, value)
		case key == "content-type":
			contentType = value
		}
	}
}

// take reads one entry. No key comes twice unless somebody means harm, and then it
// doesn't matter which counts.
func (r *reserved) take(key, value string) {
	switch key {
	case codecKey:
		r.codec = value
	case sessionKey:
		r.session = value
	case oneWayKey:
		r.oneWay = value == "1"
	case instanceKey:
		r.instance = value
	default:
		r.stray = key
	}
}

func (r *reserved) subtype(contentType string) {
	if _, subtype, ok := strings.Cut(contentType, "+"); ok && subtype != "" {
		r.codec = strings.ToLower(subtype)
	}
}

// single tells which paths lead to what takes one message and answers with one.
func (h *Host) single(path string) bool {
	switch e := h.exports.lookup(path).(type) {
	case *function:
		return e.sig.Plain
	case *instanceMethod:
		return e.sig.Plain
	case *generatedUnary:
		return true
	}
	return false
}
