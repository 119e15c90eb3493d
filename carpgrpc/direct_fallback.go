package carpgrpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/carp-rpc/carp-go/internal/native"
)

// fallback is grpc-go's client of a server that knows HTTP/2 only. It is left behind when its
// connection is lost, as what comes next may be another server, and closed when its last call
// has ended.
type fallback struct {
	http2Transport

	mu      sync.Mutex
	calls   int
	retired bool
	over    chan struct{} // closed when it is retired and has no calls
}

// newFallback makes a fallback, which connects when it is returned: nobody takes its first
// Idle for the loss of a connection. Interceptors and the options of all calls have been
// applied when a call gets there.
func (t *directTransport) newFallback(ctx context.Context) (*fallback, error) {
	bare := *t.cfg
	bare.unary, bare.unaryChain = nil, nil
	bare.stream, bare.streamChain = nil, nil
	bare.callOptions = nil
	cc, err := bare.connectHTTP2(t.target)
	if err != nil {
		return nil, err
	}
	cc.Connect()
	cc.WaitForStateChange(ctx, connectivity.Idle)
	return &fallback{http2Transport: cc.(http2Transport), over: make(chan struct{})}, nil
}

// http2 is the fallback if the server speaks HTTP/2 only, with one call counted in; see
// native.ClientConfig.
func (t *directTransport) http2(ctx context.Context, waitForReady bool) (grpc.ClientConnInterface, bool) {
	for waited := false; ; waited = true {
		if t.conn.Load() != nil {
			return nil, waited
		}
		if h := t.http.Load(); h != nil && h.enter() {
			return h, waited
		}
		// An error shows again, where it belongs.
		if _, err := t.pick(ctx, waitForReady); err != native.ErrHTTP2 { //nolint:errorlint // pick's own
			return nil, true
		}
	}
}

// follow makes a fallback's state that of the client, until its connection is lost.
func (t *directTransport) follow(h *fallback) {
	for state := h.GetState(); state != connectivity.Idle; state = h.GetState() {
		t.mu.Lock()
		t.setLocked(state)
		t.mu.Unlock()
		if !h.WaitForStateChange(t.ctx, state) {
			break
		}
	}
	t.mu.Lock()
	t.http.CompareAndSwap(h, nil)
	t.setLocked(connectivity.Idle)
	t.mu.Unlock()
	h.retire()
	select {
	case <-h.over:
	case <-t.ctx.Done():
	}
	_ = h.Close()
}

// enter counts a call in. It fails if the fallback is left behind.
func (h *fallback) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retired {
		return false
	}
	h.calls++
	return true
}

// leave counts a call out.
func (h *fallback) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls--
	h.overLocked()
}

// retire lets no further call in.
func (h *fallback) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired = true
	h.overLocked()
}

func (h *fallback) overLocked() {
	if h.retired && h.calls == 0 {
		close(h.over)
	}
}

// Invoke implements [grpc.ClientConnInterface], for a call that was counted in.
func (h *fallback) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	defer h.leave()
	return h.ClientConn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements [grpc.ClientConnInterface], for a call that was counted in.
func (h *fallback) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	opts = append(opts[:len(opts):len(opts)], grpc.OnFinish(func(error) { h.leave() }))
	return h.ClientConn.NewStream(ctx, desc, method, opts...)
}
