package host

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// messages is a call as its caller sees it: any number of messages each way,
// encoded, over whatever carries them. Send and closeSend are called by one
// goroutine at a time, recv by one; header and trailer by any. The call ends
// with its context, and with what recv returns as an error.
type messages interface {
	// send takes the message over. It returns io.EOF when the call is over; recv
	// tells why.
	send(raw.Message) error
	closeSend() error
	// recv returns the next message, which the caller frees; io.EOF after the
	// last of a call that ended well; or else the call's error.
	recv() (raw.Message, error)
	// header waits for the header metadata.
	header() (metadata.MD, error)
	// trailer is the trailer metadata, once recv has returned an error.
	trailer() metadata.MD
}

// openStream opens a call with many messages wherever its path is exported;
// q.stream says which way. If the requests are not many, the one is q.body, and
// nothing is sent besides. Otherwise all of them are sent.
func (h *Host) openStream(ctx context.Context, q *request) (messages, error) {
	var m messages
	err := h.make(ctx, q, func(ctx context.Context, q *request, p provider) (err error) {
		q.handed = true
		m, err = p.open(ctx, q)
		return err
	})
	return m, err
}

// open opens a stream at the provider.
func (p provider) open(ctx context.Context, q *request) (messages, error) {
	if p.link == nil {
		return p.host.openLocal(ctx, q)
	}
	if rpc := p.link.grpc; rpc != nil {
		return p.link.openRaw(ctx, rpc, q)
	}
	return p.link.open(ctx, q)
}

// rawStream is a stream of gRPC's that carries encoded messages.
type rawStream struct {
	grpc.ClientStream
	ctx  context.Context //nolint:containedctx // the caller's; the stream's own ends with the stream
	link *Link
}

var _ messages = rawStream{}

func (s rawStream) send(msg raw.Message) error {
	taken, err := s.link.asked.wait(s.Context(), msg.Len())
	if err != nil {
		msg.Free()
		return io.EOF // recv tells why the stream has ended
	}
	return s.sendInRoom(msg, taken)
}

// sendInRoom sends a message that there is room for, and gives that back with taken.
func (s rawStream) sendInRoom(msg raw.Message, taken func()) error {
	m := inRoom(msg, taken)
	defer m.Free()
	return s.SendMsg(&m)
}

func (s rawStream) closeSend() error { return s.CloseSend() }

func (s rawStream) recv() (raw.Message, error) {
	var m raw.Message
	err := s.RecvMsg(&m)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.link.lost(s.ctx, err, true)
	}
	return m, err
}

func (s rawStream) header() (metadata.MD, error) { return s.Header() }

func (s rawStream) trailer() metadata.MD { return s.Trailer() }

// openRaw opens a stream of gRPC's.
func (l *Link) openRaw(ctx context.Context, rpc grpc.ClientConnInterface, q *request) (messages, error) {
	var taken func()
	if !q.stream.ClientStreams {
		var err error
		if taken, err = l.asked.wait(ctx, len(q.body)); err != nil {
			return nil, err
		}
	}
	var at peer.Peer
	stream, err := rpc.NewStream(l.outgoing(ctx, q), q.stream, q.path, l.rawOptions(q, grpc.Peer(&at))...)
	if err != nil {
		if taken != nil {
			taken()
		}
		return nil, l.lost(ctx, err, at.Addr != nil)
	}
	s := rawStream{stream, ctx, l}
	if q.stream.ClientStreams {
		return s, nil
	}
	// What goes wrong here is told by recv.
	if s.sendInRoom(raw.Of(q.body), taken) == nil {
		_ = s.closeSend()
	}
	return s, nil
}

// clientStream makes what gRPC's generated code takes of messages.
type clientStream struct {
	messages // nil until a call with one request has it

	// open opens the call with the one request.
	open   func(body []byte) (messages, error)
	ctx    context.Context
	desc   *grpc.StreamDesc
	codec  encoding.CodecV2
	opts   *wireOptions
	closed bool // the last of the responses has been received
}

var errNothingSent = status.Error(codes.Internal, "the request has not been sent yet")

var _ grpc.ClientStream = (*clientStream)(nil)

func (s *clientStream) Context() context.Context { return s.ctx }

func (s *clientStream) Header() (metadata.MD, error) {
	if s.messages == nil {
		return nil, errNothingSent
	}
	return s.header()
}

func (s *clientStream) Trailer() metadata.MD {
	if s.messages == nil {
		return nil
	}
	return s.trailer()
}

func (s *clientStream) CloseSend() error {
	if !s.desc.ClientStreams {
		return nil // after the one request nothing else can come
	}
	return s.closeSend()
}

func (s *clientStream) SendMsg(m any) error {
	msg, err := s.codec.Marshal(m)
	if err != nil {
		return status.Errorf(codes.Internal, "error marshalling request: %v", err)
	}
	if err := s.opts.checkRequest(msg.Len()); err != nil {
		msg.Free()
		return statusOf(err).Err()
	}
	// Not a pooled buffer: a call that is given up may still be being sent.
	body := msg.Materialize()
	msg.Free()
	if s.desc.ClientStreams {
		return s.send(raw.Of(body))
	}
	if s.messages != nil {
		return status.Error(codes.Internal, "the call takes one request, and it has been sent")
	}
	s.messages, err = s.open(body)
	if err != nil {
		return s.end(err)
	}
	return nil
}

func (s *clientStream) RecvMsg(m any) error {
	switch {
	case s.closed:
		return io.EOF
	case s.messages == nil:
		return errNothingSent
	}
	msg, err := s.recv()
	if err != nil {
		return s.end(err)
	}
	err = s.opts.checkReply(msg.Len())
	data := msg.Buffers()
	if err == nil {
		err = s.codec.Unmarshal(data, m)
	}
	data.Free()
	if err != nil {
		return s.end(status.Convert(err).Err())
	}
	if s.desc.ServerStreams {
		return nil
	}
	// The one response is followed by the end, and counts only if that is OK.
	extra, err := s.recv()
	if err == nil {
		extra.Free()
		return s.end(status.Error(codes.Internal, "the call was answered with more than one message"))
	}
	if err := s.end(err); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// end tells who asked that the call has ended with an error of recv.
func (s *clientStream) end(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.EOF
	} else {
		err = statusOf(err).Err()
	}
	if s.closed {
		return err
	}
	s.closed = true
	if s.messages != nil {
		header, _ := s.header()
		s.opts.setMetadata(header, s.trailer())
	}
	if errors.Is(err, io.EOF) {
		s.opts.finish(nil)
	} else {
		s.opts.finish(err)
	}
	return err
}
