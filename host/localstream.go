package host

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// localStream is a call with many messages to the same host. It is the caller's
// messages, and localCallee the callee's wire.
type localStream struct {
	ctx     context.Context //nolint:containedctx // the caller's
	life    localLife       // the callee's
	up      *pipe
	down    *pipe
	headed  chan struct{} // closed when the header is there, or the call is over
	headOne sync.Once
	md      metadata.MD   // the header
	over    chan struct{} // closed when the callee has returned
	end     metadata.MD   // the trailer
	err     error
}

var (
	_ messages = (*localStream)(nil)
	_ wire     = localCallee{}
)

// openLocal opens a stream to this host itself.
func (h *Host) openLocal(ctx context.Context, q *request) (messages, error) {
	s := &localStream{
		ctx: ctx, up: newPipe(), down: newPipe(),
		headed: make(chan struct{}), over: make(chan struct{}),
	}
	c := &call{path: q.path, codec: q.codec, callFlags: q.flags(), wire: localCallee{s}}
	c.values.fromHere(ctx, h, &s.life)
	if !q.stream.ClientStreams {
		s.up.put(raw.Of(q.body))
		s.up.close()
	}
	go func() {
		s.err = errNoAnswer
		defer func() { // also when the function ends its goroutine
			s.setHeaded(nil)
			close(s.over)
			s.down.close()
			s.life.end()
		}()
		end, err := h.dispatch(c)
		s.end, s.err = end, h.ifClosed(ctx, err)
	}()
	return s, nil
}

func (s *localStream) setHeaded(md metadata.MD) {
	s.headOne.Do(func() {
		s.md = md
		close(s.headed)
	})
}

func (s *localStream) send(msg raw.Message) error {
	if s.up.send(msg, s.over, s.ctx.Done()) {
		return nil
	}
	return io.EOF
}

func (s *localStream) closeSend() error {
	s.up.close()
	return nil
}

func (s *localStream) recv() (raw.Message, error) {
	msg, err := s.down.recv(s.ctx)
	if errors.Is(err, io.EOF) && s.err != nil {
		err = s.err
	}
	return msg, err
}

func (s *localStream) header() (metadata.MD, error) {
	select {
	case <-s.headed:
		return s.md, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *localStream) trailer() metadata.MD {
	select {
	case <-s.over:
		return s.end
	default:
		return nil
	}
}

// localCallee is the callee's side of a localStream.
type localCallee struct{ s *localStream }

// local says whose references the call deals in: the host's own.
func (localCallee) local() {}

func (c localCallee) recv() (raw.Message, error) { return c.s.up.recv(&c.s.life) }

func (c localCallee) sendHeader(md metadata.MD) error {
	c.s.setHeaded(md)
	return nil
}

func (c localCallee) send(msg raw.Message, _ func()) error {
	c.s.setHeaded(nil)
	if c.s.down.send(raw.Of(msg.Keep()), nil, c.s.life.Done()) {
		return nil
	}
	return c.s.life.Err()
}

// pipeSize is how many bytes wait in a pipe before its writer does: as many as on
// another wire, so that what works there works here.
const pipeSize = 64 << 10

// pipe is one direction of a localStream. It has one writer and one reader.
type pipe struct {
	readable chan struct{} // holds one token when something has changed for the reader
	writable chan struct{} // the same for the writer

	mu     sync.Mutex
	items  []raw.Message
	size   int
	closed bool
}

func newPipe() *pipe {
	return &pipe{readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// weight is what a message counts: its bytes, and what it takes to keep it.
func weight(msg *raw.Message) int { return msg.Len() + 64 }

// put adds a message, whatever room there is.
func (p *pipe) put(msg raw.Message) {
	p.mu.Lock()
	p.items = append(p.items, msg)
	p.size += weight(&msg)
	p.mu.Unlock()
	notify(p.readable)
}

// send adds a message when there is room. It returns false if over or done is
// closed before.
func (p *pipe) send(msg raw.Message, over, done <-chan struct{}) bool {
	for {
		select {
		case <-over:
			msg.Free()
			return false
		case <-done:
			msg.Free()
			return false
		default:
		}
		p.mu.Lock()
		room := p.size < pipeSize
		p.mu.Unlock()
		if room {
			p.put(msg)
			return true
		}
		select {
		case <-p.writable:
		case <-over:
		case <-done:
		}
	}
}

func (p *pipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	notify(p.readable)
}

// recv returns the next message, or io.EOF after the last.
func (p *pipe) recv(ctx context.Context) (raw.Message, error) {
	for {
		p.mu.Lock()
		if len(p.items) > 0 {
			msg := p.items[0]
			p.items = p.items[1:]
			p.size -= weight(&msg)
			p.mu.Unlock()
			notify(p.writable)
			return msg, nil
		}
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return raw.Message{}, io.EOF
		}
		select {
		case <-p.readable:
		case <-ctx.Done():
			return raw.Message{}, ctx.Err()
		}
	}
}
