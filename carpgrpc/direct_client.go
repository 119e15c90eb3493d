package carpgrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/native"
)

// Direct is the transport that carries calls through shared memory, without HTTP/2, between
// two ends that are both this package.
const Direct Transport = "direct"

// directTransport is the client's side of a shm target. It connects by itself; to a server
// that turns out not to know the direct transport, it connects through grpc-go.
//
// It behaves as grpc-go's pick_first does: Idle until there is a call or Connect, Idle
// again when the connection is lost, TransientFailure from a failed attempt to connect until
// one succeeds, with backoff in between.
type directTransport struct {
	cfg    *clientConfig
	target string
	client *native.Client
	stub   *grpc.ClientConn

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines

	conn atomic.Pointer[native.Conn] // while Ready, if the server knows the direct transport
	http atomic.Pointer[fallback]    // from when it turned out not to, until the connection is lost

	mu      sync.Mutex
	state   connectivity.State
	changed chan struct{} // closed at the next change of state, conn or http
	err     error         // why the last attempt to connect failed
	reset   chan struct{} // closed by ResetConnectBackoff
	waiting int           // calls
	lastUse time.Time     // when one last waited
}

func (c *clientConfig) connectDirect(target string) (clientTransport, error) {
	// What the target and the options are worth shows when grpc-go reads them. This
	// client is never dialled: interceptors want one.
	stub, err := c.connectHTTP2(target)
	if err != nil {
		return nil, err
	}
	t := &directTransport{
		cfg: c, target: target, stub: stub.(http2Transport).ClientConn,
		state: connectivity.Idle, changed: make(chan struct{}), reset: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.client = native.NewClient(native.ClientConfig{
		Ready:       t.ready,
		Pick:        t.pick,
		HTTP2:       t.http2,
		Closed:      t.ctx,
		Stub:        t.stub,
		Unary:       chainUnaryClient(c.unary, c.unaryChain),
		Stream:      chainStreamClient(c.stream, c.streamChain),
		Stats:       c.stats,
		CallOptions: c.callOptions,
		PerRPC:      c.perRPC,
		Authority:   c.directAuthority(),
		UserAgent:   c.directUserAgent(),
	})
	return t, nil
}

func (c *clientConfig) directAuthority() string {
	if c.authority != "" {
		return c.authority
	}
	return native.DefaultAuthority
}

// directUserAgent is what grpc-go would send.
func (c *clientConfig) directUserAgent() string {
	if c.userAgent != "" {
		return c.userAgent + " " + native.DefaultUserAgent
	}
	return native.DefaultUserAgent
}

// Invoke implements [grpc.ClientConnInterface].
func (t *directTransport) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return t.client.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements [grpc.ClientConnInterface].
func (t *directTransport) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return t.client.NewStream(ctx, desc, method, opts...)
}

// ready is the connection to make a call on, if there is one.
func (t *directTransport) ready() *native.Conn {
	if c := t.conn.Load(); c != nil && c.Err() == nil && !c.Draining() {
		return c
	}
	return nil
}

// pick waits for a connection, and connects if nobody does; see native.ClientConfig.
func (t *directTransport) pick(ctx context.Context, waitForReady bool) (*native.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting++
	defer func() {
		t.waiting--
		t.lastUse = time.Now()
	}()
	for {
		if t.state == connectivity.Shutdown {
			return nil, native.ErrClientClosing
		}
		if t.http.Load() != nil {
			return nil, native.ErrHTTP2
		}
		if c := t.ready(); c != nil {
			return c, nil
		}
		if c := t.conn.Load(); c != nil {
			t.lostLocked(c) // before its keeper has noticed
		}
		t.connectLocked()
		if t.state == connectivity.TransientFailure && !waitForReady {
			return nil, status.Errorf(codes.Unavailable, "connection error: %v", t.err)
		}
		if err := t.awaitLocked(ctx, t.changed); err != nil {
			return nil, err
		}
	}
}

// awaitLocked waits for an event, without the lock.
func (t *directTransport) awaitLocked(ctx context.Context, event <-chan struct{}) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return waitError(ctx)
	}
}

func waitError(ctx context.Context) error {
	code := codes.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return status.Error(code, fmt.Sprintf("%v while waiting for connections to become ready", ctx.Err()))
}

// setLocked changes the state.
func (t *directTransport) setLocked(s connectivity.State) {
	if t.state == s || t.state == connectivity.Shutdown {
		return
	}
	t.state = s
	t.changedLocked()
}

func (t *directTransport) changedLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// Connect implements clientTransport.
func (t *directTransport) Connect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastUse = time.Now()
	t.connectLocked()
}

// GetState implements clientTransport.
func (t *directTransport) GetState() connectivity.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// WaitForStateChange implements clientTransport.
func (t *directTransport) WaitForStateChange(ctx context.Context, source connectivity.State) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.state == source {
		if t.awaitLocked(ctx, t.changed) != nil {
			return false
		}
	}
	return true
}

// ResetConnectBackoff implements clientTransport.
func (t *directTransport) ResetConnectBackoff() {
	if h := t.http.Load(); h != nil {
		h.ResetConnectBackoff()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.reset)
	t.reset = make(chan struct{})
}

// Close implements clientTransport.
func (t *directTransport) Close() error {
	t.mu.Lock()
	if t.state == connectivity.Shutdown {
		t.mu.Unlock()
		return native.ErrClientClosing
	}
	t.setLocked(connectivity.Shutdown)
	conn := t.conn.Swap(nil)
	t.mu.Unlock()
	if conn != nil {
		conn.Close() // before what ends with ctx: calls end because the client does
	}
	t.cancel()
	t.work.Wait()
	return t.stub.Close()
}

// transport implements clientTransport.
func (t *directTransport) transport() Transport {
	if t.conn.Load() != nil {
		return Direct
	}
	if h := t.http.Load(); h != nil {
		return h.transport()
	}
	return None
}
