package direct

import (
	"context"
	"runtime"
	"runtime/pprof"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Handler finds what serves a method. It may be called from many goroutines at once.
type Handler interface {
	// Method is what serves a request; never nil. It is called by whoever reads, so it
	// must be quick and run no code of users.
	Method(*Request) *Method
}

// Method is what serves the calls of one method. It must not be copied.
type Method struct {
	// Serve serves one call. It ends the stream with Finish before it returns, unless
	// the stream was canceled. If it doesn't return, as by [runtime.Goexit], the stream is
	// ended for it.
	Serve func(*Stream)

	// Unary says that a call has one message. Such a call can be run in line, that is
	// on the goroutine that reads, until the method proves slow.
	Unary bool

	// Goroutine says that each call gets a goroutine of its own, which ends with it.
	Goroutine bool

	// MaxRecv is how many bytes a received message may have.
	MaxRecv int

	pace pace
}

// onRequest takes a request, or a part of one. The stream is returned when it can be
// served: it has its message if it is unary, and it has one that fits.
func (c *Conn) onRequest(h header, payload []byte) (*Stream, error) {
	s := c.in.find(h.stream)
	if s == nil {
		s = &Stream{c: c, id: h.stream, credit: firstWindow}
		if err := c.in.put(s); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is(haveRequest) {
		return nil, violation("second request of stream %#x", s.id)
	}
	all, err := s.gather(h, payload)
	if all == nil || err != nil {
		return nil, err
	}
	block, message, err := cutBlock(all)
	if err != nil {
		return nil, err
	}
	if err := parseRequest(block, &s.req); err != nil {
		return nil, err
	}
	s.have |= haveRequest
	if c.opt.Handler == nil || !c.admit() {
		c.refuse(s)
		return nil, nil
	}
	s.method = c.opt.Handler.Method(&s.req)
	s.inbox.init(s.method.MaxRecv, s.method.Unary)
	if err := s.takeWhole(h, message); err != nil {
		c.admitted.Add(-1)
		c.handlers.Add(-1)
		return nil, err
	}
	if h.flags&flagEnd != 0 {
		s.have |= haveEnd
	}
	return s, nil
}

// admit counts a handler in, if one more may run. It counts before it looks whether any may:
// who waits for the last one to end, after GoAway, sees it or keeps it out.
func (c *Conn) admit() bool {
	c.handlers.Add(1)
	if int(c.admitted.Add(1)) <= c.opt.MaxHandlers && !c.draining.Load() {
		return true
	}
	c.admitted.Add(-1)
	c.handlers.Add(-1)
	return false
}

// refuse sends a request back that nobody has looked at.
func (c *Conn) refuse(s *Stream) {
	c.in.remove(s)
	c.control(kindCancel, flagFromIn, s.id, cancelRefused)
}

// run serves a stream on a goroutine of its own: one that waits for the next stream, or a new
// one. Those that have served before have grown their stacks already.
func (c *Conn) run(s *Stream) {
	if s.method.Goroutine {
		go c.runAlone(s)
		return
	}
	select {
	case c.runners <- s:
	default:
		go c.runOn(s)
	}
}

// runAlone serves a stream on a goroutine that serves no other.
func (c *Conn) runAlone(s *Stream) {
	pprof.SetGoroutineLabels(context.Background())
	c.serve(s)
}

// maxIdleRunners is how many goroutines of a connection wait for the next stream.
const maxIdleRunners = 64

// runOn serves a stream, and others after it.
func (c *Conn) runOn(s *Stream) {
	for s != nil {
		// The last handler may have set some, or whoever led when this
		// goroutine was started.
		pprof.SetGoroutineLabels(context.Background())
		start := time.Now()
		c.serve(s)
		s.method.pace.took(time.Since(start))
		s = c.nextStream()
	}
}

// nextStream waits for a stream to serve. It is nil if enough others wait, or the connection
// has ended.
func (c *Conn) nextStream() *Stream {
	if c.idle.Add(1) > maxIdleRunners {
		c.idle.Add(-1)
		return nil
	}
	defer c.idle.Add(-1)
	select {
	case s := <-c.runners:
		return s
	case <-c.done:
		return nil
	}
}

// serve serves a stream.
func (c *Conn) serve(s *Stream) {
	returned := false
	defer func() {
		if !returned && !panicking() {
			s.Finish(context.Background(), nil, Answer{}, &Trailer{Code: codes.Internal, Message: "the handler ended without an answer"})
		}
		s.Returned()
		c.handlers.Add(-1)
	}()
	s.method.Serve(s)
	returned = true
}

// panicking tells a deferred function whether it runs because of a panic, and not of
// [runtime.Goexit]. A panic ends the process, and the peer must see just that: an answer would
// have the caller believe that the server goes on. To recover and panic again would tell this
// apart, too, but change what the process says when it dies.
func panicking() bool {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		switch frame.Function {
		case "runtime.gopanic":
			return true
		case "runtime.Goexit":
			return false
		}
		if !more {
			return false
		}
	}
}

// Returned says that nothing of the stream's handler runs any more but the sending of its
// answer, so that the peer may make another call as soon as it has that. It is for the
// goroutine that serves the stream; serving ends with it in any case.
func (s *Stream) Returned() {
	if !s.returned {
		s.returned = true
		s.c.admitted.Add(-1)
	}
}

// runInline serves a stream on the goroutine that reads. It tells whether that still has
// the lead, and whether it was slow.
func (c *Conn) runInline(s *Stream) (leads, slow bool) {
	p := &s.method.pace
	c.lend(s.method)
	start := time.Now()
	returned := false
	defer func() {
		took := time.Since(start)
		p.took(took)
		leads, slow = c.lead.regain(), took >= slowCall
		if !returned && leads {
			c.callWorker() // runtime.Goexit ends this goroutine
		}
	}()
	c.serve(s)
	pprof.SetGoroutineLabels(context.Background()) // the handler may have set some
	returned = true
	return
}

// Handler is that of the stream's connection.
func (s *Stream) Handler() Handler { return s.c.opt.Handler }

// Request is what opened the stream.
func (s *Stream) Request() *Request { return &s.req }

// Canceler is told, on a goroutine of the connection, that the peer canceled a stream or that
// the connection ended. It must be quick.
type Canceler interface{ Canceled() }

// OnCancel sets who is told. It is told at once, and true returned, if that has happened
// already.
func (s *Stream) OnCancel(c Canceler) bool {
	s.mu.Lock()
	if s.err == nil {
		s.notify = c
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()
	c.Canceled()
	return true
}

// Reason is why a served stream was canceled, or nil.
func (s *Stream) Reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// SendHeader sends the header of a served stream, once.
func (s *Stream) SendHeader(ctx context.Context, md metadata.MD) error {
	scratch := getScratch()
	defer scratch.put()
	scratch.b = appendMD(scratch.b[:0], md)
	if len(scratch.b) > MaxBlock || pairsOf(md, nil) > maxPairs {
		return ErrTooLarge
	}
	s.mu.Lock()
	s.have |= sentHeader
	s.mu.Unlock()
	_, err := s.c.sendBlock(ctx, header{kind: kindHeader, flags: flagFromIn, stream: s.id}, scratch.b)
	return err
}

// Answer is the one message of a unary answer. The zero value is none.
type Answer struct {
	Set    bool
	Data   []byte
	Packed bool
}

// Finish ends a served stream, with a header that was not sent yet if it isn't nil,
// and a last message. Only the first call does something. It waits for room until ctx
// ends; the call's own context may have ended long before.
func (s *Stream) Finish(ctx context.Context, md metadata.MD, answer Answer, t *Trailer) {
	s.mu.Lock()
	// A handler that noticed the end of the connection before its stream did has nothing
	// to say that the peer should take for the call's status.
	if s.is(sentTrailer) || s.err != nil || s.c.ending.Load() {
		s.mu.Unlock()
		return
	}
	s.have |= sentTrailer
	s.mu.Unlock()
	if err := s.finish(ctx, md, answer, t); err != nil {
		s.c.in.remove(s)
		s.control(kindCancel, cancelPlain) // without the answer, it has to do
	}
	s.Release()
}

func (s *Stream) finish(ctx context.Context, md metadata.MD, answer Answer, t *Trailer) error {
	scratch := getScratch()
	defer scratch.put()
	scratch.b = appendEnd(scratch.b[:0], md, t)
	if answer.Set && !s.fits(len(scratch.b), len(answer.Data)) {
		if err := s.sendParts(ctx, md, answer); err != nil {
			return err
		}
		md, answer = nil, Answer{}
		scratch.b = appendEnd(scratch.b[:0], nil, t)
	}
	if len(scratch.b) > MaxBlock || max(pairsOf(md, nil), pairsOf(t.MD, nil)) > maxPairs {
		md, answer = nil, Answer{}
		scratch.b = appendEnd(scratch.b[:0], nil, &Trailer{Code: codes.Internal, Message: ErrTooLarge.Error()})
	}
	// The peer may use the slot again as soon as it has the trailer, so the stream
	// goes first. If it is gone, the peer has canceled it.
	if !s.c.in.remove(s) {
		return nil
	}
	h := header{kind: kindTrailer, flags: flagFromIn, stream: s.id}
	if md != nil {
		h.flags |= flagHeader
	}
	if !answer.Set {
		_, err := s.c.sendBlock(ctx, h, scratch.b)
		return err
	}
	h.flags |= flagMessage
	if answer.Packed {
		h.flags |= flagPacked
	}
	return s.c.send(ctx, frames{header: h, a: scratch.b, b: answer.Data})
}

// fits tells whether an answer can be sent in the frame of the trailer, and spends its
// credit if so.
func (s *Stream) fits(blocks, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if blocks+size > s.c.w.most || s.credit < size+messageCost {
		return false
	}
	s.credit -= size + messageCost
	return true
}

// sendParts sends header and answer in frames of their own.
func (s *Stream) sendParts(ctx context.Context, md metadata.MD, answer Answer) error {
	if md != nil {
		if err := s.SendHeader(ctx, md); err != nil {
			return err
		}
	}
	return s.Send(ctx, answer.Data, answer.Packed, false)
}

// appendEnd appends the blocks of a trailer frame: a header block if md isn't nil, and
// the trailer block, each behind its length.
func appendEnd(b []byte, md metadata.MD, t *Trailer) []byte {
	if md != nil {
		b = appendBlock(b, func(b []byte) []byte { return appendMD(b, md) })
	}
	return appendBlock(b, t.append)
}
