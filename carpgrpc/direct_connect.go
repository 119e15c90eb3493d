package carpgrpc

import (
	"context"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"

	"github.com/carp-rpc/carp-go/internal/native"
	"github.com/carp-rpc/carp-go/internal/upper"
)

// connectLocked begins to connect if that is not under way.
func (t *directTransport) connectLocked() {
	if t.state != connectivity.Idle {
		return
	}
	t.setLocked(connectivity.Connecting)
	t.work.Go(t.connect)
}

// connect connects, however often it takes.
func (t *directTransport) connect() {
	for retries := 0; ; {
		wait := native.Backoff(t.cfg.backoff(), retries)
		if t.attempt(max(wait, t.cfg.connectTimeout())) == nil {
			return
		}
		switch t.pause(wait) {
		case pauseOver:
			retries++
		case pauseReset:
			retries = 0
		case pauseIdle:
			return
		}
	}
}

// What ends a pause.
const (
	pauseOver = iota
	pauseReset
	pauseIdle // nobody wants the connection any more
)

// pause waits before the next attempt.
func (t *directTransport) pause(d time.Duration) int {
	t.mu.Lock()
	reset := t.reset
	t.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-reset:
		return pauseReset
	case <-t.ctx.Done():
		return pauseIdle
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if idle := t.cfg.idle(); idle > 0 && t.waiting == 0 && time.Since(t.lastUse) > idle {
		t.setLocked(connectivity.Idle)
		return pauseIdle
	}
	return pauseOver
}

func (c *clientConfig) backoff() backoff.Config {
	if c.connectParams != nil {
		return c.connectParams.Backoff
	}
	return backoff.DefaultConfig
}

// connectTimeout is how long an attempt to connect may take at least.
func (c *clientConfig) connectTimeout() time.Duration {
	if c.connectParams != nil {
		return c.connectParams.MinConnectTimeout
	}
	return minConnectTimeout
}

// attempt connects once.
func (t *directTransport) attempt(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, h, err := t.dial(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ctx.Err() != nil || t.state == connectivity.Shutdown:
		if conn != nil {
			conn.Close()
		}
		if h != nil {
			_ = h.Close()
		}
		return nil
	case err != nil:
		t.cfg.log().Debug("connecting failed", "target", t.target, "error", err)
		t.err = err
		t.setLocked(connectivity.TransientFailure)
		return err
	case h != nil:
		t.http.Store(h)
		t.changedLocked() // the state is h's from here on
		t.work.Go(func() { t.follow(h) })
		return nil
	}
	t.conn.Store(conn)
	t.setLocked(connectivity.Ready)
	t.work.Go(func() { t.keep(conn) })
	t.cfg.log().Debug("connected", "target", t.target, "transport", Direct)
	return nil
}

// dial makes a connection, or a client of grpc-go's if the server knows HTTP/2 only.
func (t *directTransport) dial(ctx context.Context) (*native.Conn, *fallback, error) {
	d := t.cfg.dialer()
	conn, err := upper.DialTarget(ctx, d, t.target, directProto)
	if err != nil {
		return nil, nil, err
	}
	_, info, err := d.Credentials().ClientHandshake(ctx, "", conn)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	sess, proto, spins := upper.Session(conn)
	if proto != directProto {
		_ = conn.Close()
		h, err := t.newFallback(ctx)
		return nil, h, err
	}
	cfg := &native.ConnConfig{
		Peer:      &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: info},
		Spin:      spinFor(spins),
		Stats:     t.cfg.stats,
		MaxHeader: bound(t.cfg.maxHeaderList),
		OnGoAway:  t.lost,
	}
	if s := t.cfg.serving; s != nil {
		cfg.Server = s.native
	}
	c, err := native.NewConn(ctx, sess, cfg)
	return c, nil, err
}

func spinFor(spins bool) time.Duration {
	if spins {
		return native.Spin
	}
	return 0
}

// bound is an optional limit as native has it: 0 is none.
func bound(n *uint32) int {
	if n == nil {
		return 0
	}
	return int(min(*n, 1<<31-1))
}

// keep waits for the end of a connection, and ends it when nobody has used it for a while.
func (t *directTransport) keep(conn *native.Conn) {
	// The client's Close ends connections that it has left behind, too.
	stop := context.AfterFunc(t.ctx, conn.Close)
	defer stop()
	idle := t.cfg.idle()
	var tick <-chan time.Time
	if idle > 0 {
		ticker := time.NewTicker(max(idle/2, time.Millisecond))
		defer ticker.Stop()
		tick = ticker.C
	}
	for watch := (native.Idleness{}); ; {
		select {
		case <-conn.Done():
			t.cfg.log().Debug("disconnected", "target", t.target, "transport", Direct, "error", conn.Err())
			t.lost(conn)
			<-conn.Gone()
			return
		case <-tick:
		}
		if watch.Look(conn.Conn) && conn.Retire() {
			t.lost(conn)
			t.leave(conn)
		}
	}
}

// leave ends an idle connection, but not under calls that its other end has just made.
func (t *directTransport) leave(conn *native.Conn) {
	if t.cfg.serving != nil {
		conn.GoAway()
		conn.Drained()
		conn.Leave()
		return
	}
	conn.Close()
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
