package host

import (
	"context"
	"io"
	"net"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// localWire is a call from the same host. The message is encoded and decoded as
// on any other wire, so that caller and function share no memory.
type localWire struct {
	callFlags
	request mem.BufferSlice
	read    bool
	reply   reply
}

var _ wire = (*localWire)(nil)

// local says whose references the call deals in: the host's own.
func (*localWire) local() {}

func (w *localWire) recv() (mem.BufferSlice, error) {
	if w.read {
		return nil, io.EOF
	}
	w.read = true
	return w.request, nil
}

func (w *localWire) sendHeader(md metadata.MD) error {
	w.reply.header = md
	return nil
}

func (w *localWire) send(msg mem.BufferSlice, _ func()) error {
	w.reply.body = msg
	return nil
}

// callLocal makes a call to this host itself. As on any other wire, a caller
// whose context ends doesn't wait for the function; the price is a goroutine,
// which a context that can't end is spared.
func (h *Host) callLocal(ctx context.Context, q *request) (*reply, error) {
	if ctx.Done() == nil {
		return h.serveLocal(ctx, q)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type outcome struct {
		reply *reply
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := h.serveLocal(ctx, q)
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.reply, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *Host) serveLocal(ctx context.Context, q *request) (*reply, error) {
	w := &localWire{request: mem.BufferSlice{mem.SliceBuffer(q.body)}, callFlags: q.flags()}
	inside, cancel := h.localContext(ctx)
	defer cancel()
	trailer, err := h.dispatch(inside, q.path, q.codec, w)
	w.reply.trailer = trailer
	return &w.reply, err
}

// localContext is the context of a called function in the same host as its
// caller, who has ctx.
func (h *Host) localContext(ctx context.Context) (context.Context, context.CancelFunc) {
	inside, cancel := context.WithCancel(isolated{ctx})
	stop := context.AfterFunc(h.ctx, cancel)
	md, _ := metadata.FromOutgoingContext(ctx)
	inside = metadata.NewIncomingContext(inside, md)
	inside = peer.NewContext(inside, &peer.Peer{Addr: localAddr{}, LocalAddr: localAddr{}})
	return inside, func() {
		stop()
		cancel()
	}
}

// isolated keeps the caller's context values from the called function, as any
// other wire does, but not the deadline and the cancellation.
type isolated struct{ context.Context }

func (isolated) Value(any) any { return nil }

// AfterFunc spares contexts that are derived from this one a goroutine each: the
// context package calls it.
func (c isolated) AfterFunc(f func()) func() bool { return context.AfterFunc(c.Context, f) }

// localAddr is the address of a caller in the same host.
type localAddr struct{}

var _ net.Addr = localAddr{}

func (localAddr) Network() string { return "local" }
func (localAddr) String() string  { return "local" }
