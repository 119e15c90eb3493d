package host

import (
	"context"
	"io"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// localCall is a call from the same host, in one piece of memory. The message is encoded
// and decoded as on any other wire, so that caller and function share no memory.
type localCall struct {
	call call
	life localLife

	request []byte
	read    bool
	reply   reply
}

var _ wire = (*localCall)(nil)

// local says whose references the call deals in: the host's own.
func (*localCall) local() {}

func (w *localCall) recv() (raw.Message, error) {
	if w.read {
		return raw.Message{}, io.EOF
	}
	w.read = true
	return raw.Of(w.request), nil
}

func (w *localCall) sendHeader(md metadata.MD) error {
	w.reply.header = md
	return nil
}

func (w *localCall) send(msg raw.Message, _ func()) error {
	w.reply.body = msg
	return nil
}

// callLocal makes a call to this host itself. As on any other wire, a caller
// whose context ends doesn't wait for the function; the price is a goroutine,
// which a context that can't end is spared.
func (h *Host) callLocal(ctx context.Context, q *request) (*reply, error) {
	if ctx.Done() == nil && !h.ownGoroutines {
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
		o := outcome{err: errNoAnswer}
		defer func() { done <- o }() // also when the function ends its goroutine
		o.reply, o.err = h.serveLocal(ctx, q)
	}()
	select {
	case o := <-done:
		return o.reply, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errNoAnswer is what the caller in the same host gets of a function that ends its goroutine
// (runtime.Goexit), as over shared memory.
var errNoAnswer = status.Error(codes.Internal, "the function ended its goroutine without an answer")

func (h *Host) serveLocal(ctx context.Context, q *request) (*reply, error) {
	w := &localCall{request: q.body}
	c := &w.call
	c.path, c.codec, c.callFlags, c.wire = q.path, q.codec, q.flags(), w
	c.values.fromHere(ctx, h, &w.life)
	defer w.life.end()
	var err error
	w.reply.trailer, err = h.dispatch(c)
	return &w.reply, h.ifClosed(ctx, err)
}

// ifClosed is what err of a local call is when the host was closed, and with it the
// function's context, but not the caller's.
func (h *Host) ifClosed(ctx context.Context, err error) error {
	if status.Code(err) != codes.Canceled || ctx.Err() != nil || h.ctx.Err() == nil {
		return err
	}
	return status.Errorf(codes.Unavailable, "host %q: %v", h.label, ErrClosed)
}

// fromHere are the values of a call in the same host as its caller, who has ctx: as on
// any other wire, nothing of the caller's own values.
func (v *callValues) fromHere(ctx context.Context, h *Host, life *localLife) {
	life.caller, life.host = ctx, h.ctx
	v.Context, v.peer = life, localPeer
	v.md, _ = metadata.FromOutgoingContext(ctx)
}

// localPeer is the caller in the same host. Nobody may change it.
var localPeer = &peer.Peer{Addr: localAddr{}, LocalAddr: localAddr{}}

// localAddr is the address of a caller in the same host.
type localAddr struct{}

var _ net.Addr = localAddr{}

func (localAddr) Network() string { return "local" }
func (localAddr) String() string  { return "local" }
