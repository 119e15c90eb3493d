package host

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// localStream is a call with many messages to the same host. It is the caller's
// messages, and localCallee the callee's wire.
type localStream struct {
	callFlags
	ctx     context.Context    //nolint:containedctx // the caller's
	inside  context.Context    //nolint:containedctx // the callee's
	cancel  context.CancelFunc // ends inside
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
		callFlags: q.flags(),
		ctx:       ctx, up: newPipe(), down: newPipe(),
		headed: make(chan struct{}), over: make(chan struct{}),
	}
	s.inside, s.cancel = h.localContext(ctx)
	if !q.stream.ClientStreams {
		s.up.put(mem.BufferSlice{mem.SliceBuffer(q.body)})
		s.up.close()
	}
	go func() {
		defer s.cancel()
		s.end, s.err = h.dispatch(s.inside, q.path, q.codec, localCallee{s})
		s.setHeaded(nil)
		close(s.over)
		s.down.close()
	}()
	return s, nil
}

func (s *localStream) setHeaded(md metadata.MD) {
	s.headOne.Do(func() {
		s.md = md
		close(s.headed)
	})
}

func (s *localStream) send(msg mem.BufferSlice) error {
	if s.up.send(msg, s.over, s.ctx.Done()) {
		return nil
	}
	return io.EOF
}

func (s *localStream) closeSend() error {
	s.up.close()
	return nil
}

func (s *localStream) recv() (mem.BufferSlice, error) {
	msg, err := s.down.recv(s.ctx)
	if !errors.Is(err, io.EOF) {
		return msg, err
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, io.EOF
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

func (c localCallee) flags() callFlags { return c.s.callFlags }

func (c localCallee) recv() (mem.BufferSlice, error) { return c.s.up.recv(c.s.inside) }

func (c localCallee) sendHeader(md metadata.MD) error {
	c.s.setHeaded(md)
	return nil
}

func (c localCallee) send(msg mem.BufferSlice, _ func()) error {
	c.s.setHeaded(nil)
	// As on any other wire, caller and callee share no memory.
	body := msg.Materialize()
	msg.Free()
	if c.s.down.send(mem.BufferSlice{mem.SliceBuffer(body)}, nil, c.s.inside.Done()) {
		return nil
	}
	return c.s.inside.Err()
}

// pipeSize is how many bytes wait in a pipe before its writer does: as many as on
// another wire, so that what works there works here.
const pipeSize = 64 << 10

// pipe is one direction of a localStream. It has one writer and one reader.
type pipe struct {
	readable chan struct{} // holds one token when something has changed for the reader
	writable chan struct{} // the same for the writer

	mu     sync.Mutex
	items  []mem.BufferSlice
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
func weight(msg mem.BufferSlice) int { return msg.Len() + 64 }

// put adds a message, whatever room there is.
func (p *pipe) put(msg mem.BufferSlice) {
	p.mu.Lock()
	p.items = append(p.items, msg)
	p.size += weight(msg)
	p.mu.Unlock()
	notify(p.readable)
}

// send adds a message when there is room. It returns false if over or done is
// closed before.
func (p *pipe) send(msg mem.BufferSlice, over, done <-chan struct{}) bool {
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
func (p *pipe) recv(ctx context.Context) (mem.BufferSlice, error) {
	for {
		p.mu.Lock()
		if len(p.items) > 0 {
			msg := p.items[0]
			p.items = p.items[1:]
			p.size -= weight(msg)
			p.mu.Unlock()
			notify(p.writable)
			return msg, nil
		}
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return nil, io.EOF
		}
		select {
		case <-p.readable:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
