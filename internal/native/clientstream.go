package native

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// clientStream is a stream's client side.
type clientStream struct {
	clientCall

	first    attempt
	cancel   context.CancelFunc
	unwatch  [2]func() bool
	sentLast bool // of the sender

	cur       atomic.Pointer[attempt]
	committed atomic.Bool // cur is the last attempt; set with mu locked

	mu        sync.Mutex // held while a refused call is made again
	sent      []payload  // what another attempt would have to send
	sentBytes int
	closed    bool // CloseSend as well
	finished  bool
}

var _ grpc.ClientStream = (*clientStream)(nil)

// maxReplay is how many bytes of messages are kept for another attempt. Sending as much
// needs no reader at the other end.
const maxReplay = 64 << 10

// open opens the stream.
func (s *clientStream) open() error {
	s.ctx, s.cancel = context.WithCancel(s.ctx)
	a := &s.first
	a.call = &s.clientCall
	if err := a.open(nil); err != nil {
		s.cancel()
		return a.fail(err)
	}
	s.cur.Store(a)
	s.watch()
	return nil
}

// watch makes the end of the context, or of the client, end the call although nobody is in
// RecvMsg or SendMsg.
func (s *clientStream) watch() {
	s.mu.Lock() // end may come before both are set
	defer s.mu.Unlock()
	s.unwatch[0] = context.AfterFunc(s.ctx, func() { s.end(toStatus(s.ctx.Err())) })
	s.unwatch[1] = func() bool { return true }
	if closed := s.client.cfg.Closed; closed != nil {
		s.unwatch[1] = context.AfterFunc(closed, func() { s.end(ErrClientClosing) })
	}
}

// end is finish, once.
func (s *clientStream) end(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished = true
	s.commitLocked()
	s.mu.Unlock()
	s.cur.Load().finish(err)
	for _, stop := range s.unwatch {
		stop()
	}
	s.cancel()
}

// commit makes the present attempt the last one: something came of it.
func (s *clientStream) commit() {
	if s.committed.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commitLocked()
}

func (s *clientStream) commitLocked() {
	s.committed.Store(true)
	for i := range s.sent {
		s.sent[i].free()
	}
	s.sent = nil
}

// again makes another attempt if a was refused, which is what cause says. It tells whether
// there is another one than a now. An error is why that failed, and the call's end.
func (s *clientStream) again(a *attempt, cause error) (made bool, err error) {
	if s.committed.Load() {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.Load() != a {
		return true, nil // the other direction was here before
	}
	for !s.committed.Load() && a.refused() {
		if a, err = a.next(cause); err != nil {
			return false, err
		}
		if err = a.open(nil); err != nil {
			a.endStat(err)
			return false, err
		}
		s.cur.Store(a)
		s.replay(a)
		made = true
	}
	return made, nil
}

// replay sends what the attempts before a sent. If that fails, a has ended, which shows.
func (s *clientStream) replay(a *attempt) {
	for _, p := range s.sent {
		if a.stream.Send(a.ctx, p.data, p.packed, !s.desc.ClientStreams) != nil {
			return
		}
		if a.counting() {
			a.stat(p.out(true))
		}
	}
	if s.closed {
		_ = a.stream.CloseSend(a.ctx)
	}
}

// Context implements [grpc.ClientStream].
func (s *clientStream) Context() context.Context {
	s.commit()
	return peer.NewContext(s.ctx, s.cur.Load().conn.Peer)
}

// Header implements [grpc.ClientStream]. Why there is none, RecvMsg tells.
func (s *clientStream) Header() (metadata.MD, error) {
	for {
		a := s.cur.Load()
		if _, err := a.stream.Header(a.ctx); err != nil {
			err = a.callError(err)
			if made, againErr := s.again(a, err); made {
				continue
			} else if againErr != nil {
				err = againErr
			}
			s.end(err)
			return nil, nil
		}
		s.commit()
		a.noteHeader()
		md := a.header()
		if md == nil {
			s.end(a.status())
		}
		return md, nil
	}
}

// Trailer implements [grpc.ClientStream].
func (s *clientStream) Trailer() metadata.MD {
	s.commit()
	return s.cur.Load().trailer()
}

// CloseSend implements [grpc.ClientStream]. What goes wrong, RecvMsg tells.
func (s *clientStream) CloseSend() error {
	if s.sentLast {
		return nil
	}
	s.sentLast = true
	a := s.cur.Load()
	_ = a.stream.CloseSend(a.ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if now := s.cur.Load(); now != a {
		_ = now.stream.CloseSend(now.ctx)
	}
	return nil
}

// SendMsg implements [grpc.ClientStream].
func (s *clientStream) SendMsg(msg any) error {
	err := s.send(msg)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		s.end(err) // it was made here
	case !s.desc.ClientStreams:
		return nil // RecvMsg tells
	}
	return err
}

func (s *clientStream) send(msg any) error {
	if s.sentLast {
		return status.Error(codes.Internal, "SendMsg called after CloseSend")
	}
	s.sentLast = !s.desc.ClientStreams
	p, err := s.encode(msg)
	if err != nil {
		return err
	}
	for {
		a := s.cur.Load()
		if err := a.stream.Send(a.ctx, p.data, p.packed, s.sentLast); err != nil {
			if made, err := s.again(a, a.callError(a.stream.Reason())); made {
				continue
			} else if err != nil {
				p.free()
				return err
			}
			p.free()
			return io.EOF
		}
		if a.counting() {
			a.stat(p.out(true))
		}
		if s.keep(a, p) {
			return nil
		}
	}
}

// keep keeps a message that was sent, in case the call is refused. It fails if there is
// another attempt than a already, which does not have it.
func (s *clientStream) keep(a *attempt, p payload) bool {
	if s.committed.Load() {
		p.free()
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.Load() != a {
		return false
	}
	s.sentBytes += len(p.data)
	if s.committed.Load() || s.sentBytes > min(maxReplay, s.info.maxReplay) {
		s.commitLocked()
		p.free()
		return true
	}
	s.sent = append(s.sent, p)
	return true
}

// RecvMsg implements [grpc.ClientStream].
func (s *clientStream) RecvMsg(msg any) error {
	err := s.recv(msg)
	if err == nil && !s.desc.ServerStreams {
		err = s.recv(msg)
		switch {
		case err == nil:
			err = status.Error(codes.Internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message")
		case errors.Is(err, io.EOF):
			s.end(nil)
			return nil
		}
	}
	if err != nil {
		s.end(err)
	}
	return err
}

// recv receives a message, from another attempt if one is refused.
func (s *clientStream) recv(msg any) error {
	for {
		a := s.cur.Load()
		err := a.recv(msg)
		if err != nil {
			if made, err := s.again(a, err); made {
				continue
			} else if err != nil {
				return err
			}
		}
		s.commit()
		return err
	}
}
