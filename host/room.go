package host

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// smallMessage is the size up to which messages need no room: how many there are is
// bounded by the calls that a peer may have in flight.
const smallMessage = 64 << 10

// room is how many bytes of large messages may wait for one peer to take them. A nil
// room has no bound.
type room struct {
	limit int

	mu    sync.Mutex
	used  int
	freed chan struct{} // closed when there is more room; nil if nobody waits
}

func newRoom(limit int) *room { return &room{limit: limit} }

// fits takes n bytes if there is room. A message by itself always fits. It is called with
// mu held.
func (r *room) fits(n int) bool {
	if r.used > 0 && n > r.limit-r.used {
		return false
	}
	r.used += n
	return true
}

// take finds room for a message of n bytes. It returns what gives the room back, nil if
// the message takes none, and whether there was room.
func (r *room) take(n int) (give func(), ok bool) {
	if r == nil || n <= smallMessage {
		return nil, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fits(n) {
		return nil, false
	}
	return r.giver(n), true
}

// wait is take for somebody who can wait. The error is that of ctx.
func (r *room) wait(ctx context.Context, n int) (give func(), err error) {
	if r == nil || n <= smallMessage {
		return nil, nil
	}
	for {
		r.mu.Lock()
		if r.fits(n) {
			r.mu.Unlock()
			return r.giver(n), nil
		}
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// giver gives n bytes back, once.
func (r *room) giver(n int) func() {
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used -= n
		if r.freed != nil {
			close(r.freed)
			r.freed = nil
		}
	})
}

// inRoom is msg in memory that calls give when nobody holds it any more. Give may be nil.
func inRoom(msg raw.Message, give func()) raw.Message {
	if give == nil {
		return msg
	}
	held, data := msg, msg.Data // not msg itself, which would be allocated in every case
	return raw.Join(mem.BufferSlice{mem.NewBuffer(&data, counted(func() {
		held.Free()
		give()
	}))})
}

// errUnread ends a call whose result finds no room. It isn't carp.HostError, which would
// say that the function has not run.
func (c *call) errUnread(n int) error {
	return &namedError{exception: exceptionReply, status: status.Newf(codes.ResourceExhausted,
		"%s: a message of %d bytes would wait behind others that the caller has not read: at most %d bytes do (host.WithMaxUnread)",
		pathName(c.path), n, c.answers.limit)}
}

// answersKey is where the context of a connection has the room for answers.
type answersKey struct{}

// withAnswers gives a connection room for answers.
func (h *Host) withAnswers(ctx context.Context) context.Context {
	return context.WithValue(ctx, answersKey{}, newRoom(h.maxUnread))
}
