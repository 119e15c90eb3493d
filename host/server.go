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
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/internal/bothways"
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
	return carpgrpc.NewServer(
		carpgrpc.Creds(h.transport.TCP),
		carpgrpc.AllowPeer(h.transport.Allow),
		carpgrpc.Logger(h.log),
		carpgrpc.ForceServerCodecV2(rawCodec(protoCodec)),
		carpgrpc.UnknownServiceHandler(h.handler(l)),
		bothways.Single(h.single).(carpgrpc.ServerOption),
		bothways.PerConn(h.withAnswers).(carpgrpc.ServerOption),
		carpgrpc.MaxRecvMsgSize(max(h.maxMessage, maxFrame)),
		carpgrpc.MaxConcurrentStreams(uint32(h.maxCalls+internalStreams)),
	)
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
	callFlags
	stream grpc.ServerStream
	link   *Link // that the call belongs to, or nil
	answer *room
}

var _ wire = grpcWire{}

// via tells the dispatcher which link the call belongs to.
func (w grpcWire) via() *Link { return w.link }

func (w grpcWire) recv() (mem.BufferSlice, error) {
	var m rawMessage
	err := w.stream.RecvMsg(&m)
	return m.data, err
}

func (w grpcWire) sendHeader(md metadata.MD) error {
	return w.stream.SendHeader(md)
}

func (w grpcWire) send(msg mem.BufferSlice, sent func()) error {
	m := rawMessage{data: inRoom(msg, sent)}
	defer m.drop()
	return w.stream.SendMsg(&m)
}

// room is that of the connection.
func (w grpcWire) room() *room { return w.answer }

// handler takes every call of a server. With a link, all of them are its peer's;
// otherwise they say to which link they belong.
func (h *Host) handler(l *Link) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		path, ok := grpc.MethodFromServerStream(stream)
		if !ok {
			return status.Error(codes.Internal, "the call has no method")
		}
		md, _ := metadata.FromIncomingContext(stream.Context())
		said := takeReserved(md)
		ctx := metadata.NewIncomingContext(stream.Context(), md)
		w := grpcWire{said.callFlags, stream, l, nil}
		if l == nil {
			w.link = h.peers.session(said.session)
			w.answer, _ = ctx.Value(answersKey{}).(*room)
			// What gRPC compresses is not what has been counted. In shared memory
			// this fails, and compressing changes nothing about the room.
			_ = grpc.SetSendCompressor(stream.Context(), encoding.Identity)
		} else {
			w.answer = l.answers
			if l.peer != nil {
				ctx = peer.NewContext(ctx, l.peer)
			}
		}
		trailer, err := h.dispatch(ctx, path, said.codec, w)
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
		if !strings.HasPrefix(key, reservedPrefix) || len(values) == 0 {
			continue
		}
		switch v := values[0]; key {
		case codecKey:
			r.codec = v
		case sessionKey:
			r.session = v
		case oneWayKey:
			r.oneWay = v == "1"
		case instanceKey:
			r.instance = v
		default:
			r.stray = key
		}
		delete(md, key)
	}
	for _, contentType := range md["content-type"] {
		if _, subtype, ok := strings.Cut(contentType, "+"); ok && subtype != "" {
			r.codec = strings.ToLower(subtype)
		}
	}
	return r
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
