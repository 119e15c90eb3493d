package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host/internal/link"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// linkWire is a call that came over the frames of a link.
type linkWire struct {
	in     *link.Incoming
	header metadata.MD
	body   []byte
	sent   func() // or nil; to be called when body has been
	full   bool   // body is the response
}

var _ wire = (*linkWire)(nil)

// streaming tells whether the caller sends any number of messages.
func (w *linkWire) streaming() bool { return w.in.Streaming() }

func (w *linkWire) recv() (raw.Message, error) {
	m, err := w.in.Recv()
	if err != nil {
		return raw.Message{}, err
	}
	return countedMessage(m), nil
}

func countedMessage(m link.Message) raw.Message {
	return raw.Join(mem.BufferSlice{mem.NewBuffer(&m.Data, counted(m.Free))})
}

// counted is the pool to which the memory of a large message goes back: the room
// that the link has for such messages. Small ones don't take any.
type counted func()

func (counted) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

func (free counted) Put(*[]byte) { free() }

func (w *linkWire) sendHeader(md metadata.MD) error {
	if w.in.TakesItems() {
		return w.in.SendHeader(md)
	}
	w.header = md
	return nil
}

func (w *linkWire) send(msg raw.Message, sent func()) error {
	body := msg.Keep()
	if w.in.TakesItems() {
		if sent != nil {
			defer sent()
		}
		return w.in.Send(body)
	}
	if w.full {
		if sent != nil {
			sent()
		}
		return status.Error(codes.Internal, "the method answers with many messages, and the caller takes one")
	}
	w.body, w.sent, w.full = body, sent, true
	return nil
}

// serve answers one call that came over the link.
func (l *Link) serve(in *link.Incoming) {
	md := in.Metadata()
	w := &linkWire{in: in}
	c := &call{path: in.Method(), codec: in.Codec(), link: l, answers: l.answers, wire: w}
	c.callFlags = callFlags{oneWay: in.OneWay(), instance: in.Instance()}
	for key := range md {
		if strings.HasPrefix(key, reservedPrefix) {
			c.stray = key // what other wires have there has its own place in a frame
		}
	}
	c.values.Context, c.values.md, c.values.peer = in.Context(), md, l.peer
	trailer, err := l.host.dispatch(c)
	result := link.Result{Status: status.Convert(err), Header: w.header, Trailer: trailer, Sent: w.sent}
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
		Instance: q.instance,
	})
	if err != nil {
		return nil, l.explain(err)
	}
	r := &reply{header: resp.Header, trailer: resp.Trailer}
	if resp.Status.Code() == codes.OK {
		r.body = raw.Of(resp.Payload)
		return r, nil
	}
	r.trailer = withException(resp)
	return r, resp.Status.Err()
}

// withException is the trailer of a failed call, with the exception where other
// wires have it.
func withException(resp *link.Response) metadata.MD {
	md := metadata.Join(resp.Trailer) // a copy
	md.Set(exceptionKey, resp.Exception)
	return md
}

// explain says which link it was that was lost.
func (l *Link) explain(err error) error {
	if _, ok := errors.AsType[*link.LostError](err); !ok {
		return err
	}
	label, _ := l.label()
	return fmt.Errorf("host %q (%s): %w", label, l.target, err)
}

// open opens a stream over the link's frames.
func (l *Link) open(ctx context.Context, q *request) (messages, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	out, err := l.frames.Open(ctx, &link.Request{
		Method: q.path, Codec: q.codec, Metadata: md, Instance: q.instance,
		Payload: q.body, Streaming: q.stream.ClientStreams, TakesItems: q.stream.ServerStreams,
	})
	if err != nil {
		return nil, l.explain(err)
	}
	return &linkStream{link: l, out: out, items: q.stream.ServerStreams}, nil
}

// linkStream is a call with many messages over the frames of a link.
type linkStream struct {
	link  *Link
	out   *link.Outgoing
	items bool // the responses are items
	taken bool // the one response has been
}

var _ messages = (*linkStream)(nil)

func (s *linkStream) send(msg raw.Message) error { return s.out.Send(msg.Keep()) }

func (s *linkStream) closeSend() error {
	s.out.CloseSend()
	return nil
}

func (s *linkStream) recv() (raw.Message, error) {
	if s.items {
		m, err := s.out.Recv()
		switch {
		case err == nil:
			return countedMessage(m), nil
		case !errors.Is(err, io.EOF):
			return raw.Message{}, s.link.explain(err)
		}
	}
	resp, err := s.out.Response()
	switch {
	case err != nil:
		return raw.Message{}, s.link.explain(err)
	case resp.Status.Code() != codes.OK:
		return raw.Message{}, resp.Status.Err()
	case s.items || s.taken:
		return raw.Message{}, io.EOF
	}
	s.taken = true
	return raw.Of(resp.Payload), nil
}

func (s *linkStream) header() (metadata.MD, error) { return s.out.Header() }

func (s *linkStream) trailer() metadata.MD {
	resp, err := s.out.Response()
	if err != nil {
		return nil
	}
	if resp.Status.Code() == codes.OK {
		return resp.Trailer
	}
	return withException(resp)
}
