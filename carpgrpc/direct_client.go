package carpgrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/native"
	"github.com/carp-rpc/carp-go/internal/upper"
)

// Direct is the transport that carries calls through shared memory, without HTTP/2, between
// two ends that are both this package.
const Direct Transport = "direct"

// directTransport is the client's side of a shm target. It connects by itself; if the server
// turns out not to know the direct transport, it leaves all to grpc-go from then on.
//
// It behaves as grpc-go's pick_first does: Idle until there is a call or Connect, Idle
// again when the connection is lost, TransientFailure from a failed attempt to connect until
// one succeeds, with backoff in between.
type directTransport struct {
	cfg    *clientConfig
	target string
	client *native.Client
	stub   *grpc.ClientConn

	conn atomic.Pointer[native.Conn]    // while Ready
	http atomic.Pointer[http2Transport] // once the server turned out to speak HTTP/2 only

	mu      sync.Mutex
	state   connectivity.State
	changed chan struct{} // closed at the next change of state
	err     error         // why the last attempt to connect failed
	reset   chan struct{} // closed by ResetConnectBackoff
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup
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
		Pick:        t.pick,
		HTTP2:       t.fallback,
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
	return "localhost"
}

// directUserAgent is what grpc-go would send.
func (c *clientConfig) directUserAgent() string {
	agent := "grpc-go/" + grpc.Version
	if c.userAgent != "" {
		agent = c.userAgent + " " + agent
	}
	return agent
}

// Invoke implements [grpc.ClientConnInterface].
func (t *directTransport) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return t.client.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements [grpc.ClientConnInterface].
func (t *directTransport) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return t.client.NewStream(ctx, desc, method, opts...)
}

// pick is the connection to make a call on; see native.ClientConfig.
func (t *directTransport) pick(ctx context.Context, waitForReady bool) (*native.Conn, error) {
	if c := t.conn.Load(); c != nil && c.Err() == nil && !c.Draining() {
		return c, nil
	}
	return t.await(ctx, waitForReady)
}

// await connects if nobody does, and waits for what comes of it: a connection, or errHTTP2Only.
func (t *directTransport) await(ctx context.Context, waitForReady bool) (*native.Conn, error) {
	t.mu.Lock()
	for {
		if t.state == connectivity.Shutdown {
			t.mu.Unlock()
			return nil, native.ErrClientClosing
		}
		if t.http.Load() != nil {
			t.mu.Unlock()
			return nil, errHTTP2Only
		}
		if c := t.conn.Load(); c != nil {
			if c.Err() == nil && !c.Draining() {
				t.mu.Unlock()
				return c, nil
			}
			t.lostLocked(c)
		}
		t.connectLocked()
		if t.state == connectivity.TransientFailure && !waitForReady {
			err := t.err
			t.mu.Unlock()
			return nil, status.Errorf(codes.Unavailable, "connection error: %v", err)
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, waitError(ctx)
		}
		t.mu.Lock()
	}
}

// errHTTP2Only ends the wait for a direct connection when there will be none. Calls don't see
// it, but for one that fails anyway while the server turns out to speak HTTP/2 only.
var errHTTP2Only = status.Error(codes.Unavailable, "the server knows no direct transport")

func waitError(ctx context.Context) error {
	code := codes.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return status.Error(code, fmt.Sprintf("%v while waiting for connections to become ready", ctx.Err()))
}

// fallback is grpc-go's client, if the server speaks HTTP/2 only. It waits, as pick does,
// until that is known.
func (t *directTransport) fallback(ctx context.Context, waitForReady bool) grpc.ClientConnInterface {
	if t.conn.Load() != nil {
		return nil
	}
	if h := t.http.Load(); h != nil {
		return h
	}
	// An error shows again, where it belongs, in pick.
	_, _ = t.await(ctx, waitForReady)
	if h := t.http.Load(); h != nil {
		return h
	}
	return nil
}

// setLocked changes the state.
func (t *directTransport) setLocked(s connectivity.State) {
	if t.state == s || t.state == connectivity.Shutdown {
		return
	}
	t.state = s
	close(t.changed)
	t.changed = make(chan struct{})
}

// connectLocked begins to connect if that is not under way.
func (t *directTransport) connectLocked() {
	if t.state != connectivity.Idle || t.http.Load() != nil {
		return
	}
	t.setLocked(connectivity.Connecting)
	t.work.Add(1)
	go t.connect()
}

// connect connects, however often it takes.
func (t *directTransport) connect() {
	defer t.work.Done()
	for retries := 0; t.attempt() != nil; retries++ {
		if !t.pause(retries) {
			return
		}
	}
}

// pause waits before the next attempt. It fails when the client is closed.
func (t *directTransport) pause(retries int) bool {
	t.mu.Lock()
	reset := t.reset
	t.mu.Unlock()
	timer := time.NewTimer(native.Backoff(t.cfg.backoff(), retries))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-reset:
		return true
	case <-t.ctx.Done():
		return false
	}
}

func (c *clientConfig) backoff() backoff.Config {
	if c.connectParams != nil {
		return c.connectParams.Backoff
	}
	return backoff.DefaultConfig
}

// connectTimeout bounds one attempt to connect.
func (c *clientConfig) connectTimeout() time.Duration {
	const least = 20 * time.Second // gRPC's default
	if c.connectParams != nil && c.connectParams.MinConnectTimeout > 0 {
		return c.connectParams.MinConnectTimeout
	}
	return least
}

// attempt connects once.
func (t *directTransport) attempt() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.cfg.connectTimeout())
	defer cancel()
	conn, err := t.dial(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ctx.Err() != nil:
		if conn != nil {
			conn.Close()
		}
		return nil
	case err != nil:
		t.err = err
		t.setLocked(connectivity.TransientFailure)
		return err
	case conn == nil: // HTTP/2 from here on
		t.setLocked(connectivity.Ready)
		return nil
	}
	t.conn.Store(conn)
	t.setLocked(connectivity.Ready)
	t.work.Add(1)
	go t.keep(conn)
	t.cfg.log().Debug("connected", "target", t.target, "transport", Direct)
	return nil
}

// dial makes a connection. It is nil if the server knows HTTP/2 only: t.http is set then.
func (t *directTransport) dial(ctx context.Context) (*native.Conn, error) {
	d := t.cfg.dialer()
	conn, err := upper.DialTarget(ctx, d, t.target, directProto)
	if err != nil {
		return nil, err
	}
	_, info, err := d.Credentials().ClientHandshake(ctx, "", conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	sess, proto := upper.Session(conn)
	if proto != directProto {
		_ = conn.Close()
		return nil, t.useHTTP2()
	}
	p := &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: info}
	return native.NewConn(sess, p, t.cfg.stats, t.lost)
}

// useHTTP2 leaves all calls to grpc-go from here on. Interceptors and the options of all calls
// have been applied when a call gets there.
func (t *directTransport) useHTTP2() error {
	bare := *t.cfg
	bare.unary, bare.unaryChain = nil, nil
	bare.stream, bare.streamChain = nil, nil
	bare.callOptions = nil
	cc, err := bare.connectHTTP2(t.target)
	if err != nil {
		return err
	}
	h := cc.(http2Transport)
	h.Connect()
	t.http.Store(&h)
	return nil
}

// keep waits for the end of a connection, and ends it when nobody has used it for a while.
func (t *directTransport) keep(conn *native.Conn) {
	defer t.work.Done()
	idle := t.cfg.idle()
	var tick <-chan time.Time
	if idle > 0 {
		ticker := time.NewTicker(max(idle/2, time.Millisecond))
		defer ticker.Stop()
		tick = ticker.C
	}
	last := conn.Opened()
	for quiet := 0; ; {
		select {
		case <-conn.Done():
			t.lost(conn)
			<-conn.Gone()
			return
		case <-tick:
		}
		ours, _ := conn.Streams()
		if opened := conn.Opened(); ours > 0 || opened != last {
			last, quiet = opened, 0
			continue
		}
		if quiet++; quiet >= 2 || conn.Draining() {
			t.lost(conn)
			conn.Close()
		}
	}
}

func (c *clientConfig) idle() time.Duration {
	const usual = 30 * time.Minute // grpc-go's default
	if c.idleTimeout != nil {
		return *c.idleTimeout
	}
	return usual
}

// lost makes the client Idle after the loss of its connection.
func (t *directTransport) lost(conn *native.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lostLocked(conn)
}

func (t *directTransport) lostLocked(conn *native.Conn) {
	if t.conn.CompareAndSwap(conn, nil) {
		t.setLocked(connectivity.Idle)
	}
}

// Connect implements clientTransport.
func (t *directTransport) Connect() {
	if h := t.http.Load(); h != nil {
		h.Connect()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connectLocked()
}

// GetState implements clientTransport.
func (t *directTransport) GetState() connectivity.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.http.Load(); h != nil && t.state != connectivity.Shutdown {
		return h.GetState()
	}
	return t.state
}

// WaitForStateChange implements clientTransport.
func (t *directTransport) WaitForStateChange(ctx context.Context, source connectivity.State) bool {
	for {
		if h := t.http.Load(); h != nil {
			return h.WaitForStateChange(ctx, source)
		}
		t.mu.Lock()
		state, changed := t.state, t.changed
		t.mu.Unlock()
		if state != source {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
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
	t.cancel()
	conn := t.conn.Swap(nil)
	h := t.http.Load()
	t.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	t.work.Wait()
	err := t.stub.Close()
	if h != nil {
		err = errors.Join(err, h.Close())
	}
	return err
}

// transport implements clientTransport.
func (t *directTransport) transport() Transport {
	if h := t.http.Load(); h != nil {
		return h.transport()
	}
	if t.conn.Load() != nil {
		return Direct
	}
	return None
}
