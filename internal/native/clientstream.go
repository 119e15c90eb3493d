package native

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// clientStream is a stream's client side.
type clientStream struct {
	clientCall

	cancel   context.CancelFunc
	unwatch  func() bool
	sentLast bool

	mu       sync.Mutex
	finished bool
}

var _ grpc.ClientStream = (*clientStream)(nil)

// watch makes the end of the context, or of the connection, end the call although nobody is
// in RecvMsg or SendMsg.
func (s *clientStream) watch() {
	s.unwatch = context.AfterFunc(s.ctx, func() { s.end(toStatus(s.ctx.Err())) })
	if done := s.conn.Done(); s.client.cfg.watchesConn() {
		go func() {
			select {
			case <-done:
				s.end(callError(s.conn.Err()))
			case <-s.ctx.Done():
			}
		}()
	}
}

// watchesConn tells whether somebody wants to know at once that a call has ended because
// its connection did.
func (cfg *ClientConfig) watchesConn() bool { return len(cfg.Stats) > 0 }

// end is finish, once.
func (s *clientStream) end(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.mu.Lock()
	done := s.finished
	s.finished = true
	s.mu.Unlock()
	if done {
		return
	}
	s.finish(err)
	if s.unwatch != nil {
		s.unwatch()
	}
	s.cancel()
}

// Context implements [grpc.ClientStream].
func (s *clientStream) Context() context.Context { return peer.NewContext(s.ctx, s.conn.Peer) }

// Header implements [grpc.ClientStream].
func (s *clientStream) Header() (metadata.MD, error) {
	if _, err := s.stream.Header(s.ctx); err != nil {
		s.end(callError(err))
		return nil, nil // RecvMsg tells
	}
	s.noteHeader()
	return s.header(), nil
}

// Trailer implements [grpc.ClientStream].
func (s *clientStream) Trailer() metadata.MD { return s.trailer() }

// CloseSend implements [grpc.ClientStream].
func (s *clientStream) CloseSend() error {
	if !s.sentLast {
		s.sentLast = true
		_ = s.stream.CloseSend(s.ctx) // RecvMsg tells
	}
	return nil
}

// SendMsg implements [grpc.ClientStream].
func (s *clientStream) SendMsg(msg any) error {
	err := s.send(msg)
	if errors.Is(err, io.EOF) && !s.desc.ClientStreams {
		return nil // RecvMsg tells
	}
	return err
}

func (s *clientStream) send(msg any) error {
	if s.sentLast {
		err := status.Error(codes.Internal, "SendMsg called after CloseSend")
		s.end(err)
		return err
	}
	s.sentLast = !s.desc.ClientStreams
	p, err := s.encode(msg)
	if err != nil {
		s.end(err)
		return err
	}
	defer p.free()
	if err := s.stream.Send(s.ctx, p.data, p.packed, s.sentLast); err != nil {
		return io.EOF
	}
	if s.counting() {
		s.stat(p.out(true))
	}
	return nil
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
