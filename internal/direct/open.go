package direct

import (
	"context"
	"errors"
	"io"
)

// OpenOptions say how a stream is opened.
type OpenOptions struct {
	MaxRecv int // bytes that a received message may have

	// Unary says that one message is sent, and one answer awaited.
	Unary bool

	// Message is the one message of a unary call. It may be used again when Open returned.
	Message []byte
	Packed  bool // Message is compressed
}

// SentError is wrapped around an error that came when a request had been sent, and its
// message not whole: the peer may have begun to serve it.
type SentError struct{ Err error }

func (e *SentError) Error() string { return "request sent, but not its message: " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *SentError) Unwrap() error { return e.Err }

// Open opens a stream. It waits, within ctx, for room to send the request, and the
// message of a unary call, and for others to end if as many streams are open as may be. The
// error is ctx's, [ErrGoAway], [ErrTooLarge] or the connection's reason. Unless it is a
// [*SentError], the peer has seen nothing that it would act on.
//
// The stream lives until its trailer has come or it is canceled.
func (c *Conn) Open(ctx context.Context, req *Request, opt *OpenOptions) (*Stream, error) {
	if c.goAway.Load() {
		return nil, ErrGoAway
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	s := &Stream{c: c, ours: true, credit: firstWindow}
	s.inbox.init(opt.MaxRecv, opt.Unary)
	if err := c.enter(ctx, s); err != nil {
		return nil, err
	}
	if begun, err := s.request(ctx, req, opt); begun && err != nil {
		s.Cancel(err)
		return nil, &SentError{err}
	} else if err != nil {
		c.out.remove(s) // the peer has never heard of it
		s.stop(err)
		return nil, err
	}
	return s, nil
}

// request sends the request of s, and a unary message. It tells whether it sent anything.
func (s *Stream) request(ctx context.Context, req *Request, opt *OpenOptions) (begun bool, err error) {
	scratch := getScratch()
	defer scratch.put()
	block := scratch.lead(req.append(scratch.body()))
	if len(block) > MaxBlock || pairsOf(req.MD, req.Pairs) > maxPairs {
		return false, ErrTooLarge
	}
	h := header{kind: kindRequest, stream: s.id}
	if !opt.Unary {
		return s.c.sendBlock(ctx, h, block)
	}
	if size := len(opt.Message); len(block)+size <= s.c.w.most && size+messageCost <= s.credit {
		s.credit -= size + messageCost
		h.flags = flagMessage | flagEnd
		if opt.Packed {
			h.flags |= flagPacked
		}
		err := s.c.send(ctx, frames{header: h, a: block, b: opt.Message})
		return err == nil, err
	}
	if begun, err := s.c.sendBlock(ctx, h, block); err != nil {
		return begun, err
	}
	err = s.Send(ctx, opt.Message, opt.Packed, true)
	if errors.Is(err, io.EOF) {
		return true, nil // the answer came before all of the question was sent
	}
	return true, err
}

// sendBlock sends a block in as many frames as it takes. It tells whether it sent any.
func (c *Conn) sendBlock(ctx context.Context, h header, block []byte) (begun bool, err error) {
	for len(block) > c.w.most {
		part := h
		part.flags |= flagMore
		if err := c.send(ctx, frames{header: part, a: block[:c.w.most]}); err != nil {
			return begun, err
		}
		begun = true
		block = block[c.w.most:]
	}
	err = c.send(ctx, frames{header: h, a: block})
	return begun || err == nil, err
}
