package shmconn

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// Listener accepts shared-memory connections. Its methods may be called from many
// goroutines at once.
type Listener struct {
	sock *unixsock.Listener
	addr Addr
	cfg  *resolved

	protos atomic.Pointer[[]string] // upper protocols that the user of the listener speaks

	start sync.Once // of the accept loop, by the first Accept
	conns chan *Conn
	errs  chan error

	drained atomic.Bool // see Drain
	closed  chan struct{}
	close   sync.Once
	work    sync.WaitGroup // the accept loop and the handshakes
	shaker  *shaker
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on a unix socket: a path, or "@name" in the abstract namespace. A
// socket file that nobody listens on any more is replaced; any other file is an
// error. Errors are of type [*net.OpError].
func Listen(addr string, cfg *Config) (*Listener, error) {
	r, err := cfg.resolve()
	if err == nil {
		err = shm.Supported()
	}
	if err != nil {
		return nil, addrError("listen", addr, err)
	}
	if n := sweep(r); n > 0 {
		r.Logger.Info("removed System V segments of processes that were killed", "count", n)
	}
	sock, err := unixsock.Listen(context.Background(), addr)
	if err != nil {
		return nil, addrError("listen", addr, err)
	}
	return newListener(sock, Addr{Name: addr}, r), nil
}

func newListener(sock *unixsock.Listener, addr Addr, cfg *resolved) *Listener {
	return &Listener{
		sock: sock, addr: addr, cfg: cfg,
		conns: make(chan *Conn), errs: make(chan error),
		closed: make(chan struct{}),
		shaker: newShaker(cfg.MaxHandshakes),
	}
}

// sweep removes what killed processes left of the backing that has names.
func sweep(r *resolved) int {
	if !slices.Contains(r.Backings, SysV) {
		return 0
	}
	return shm.Sweep()
}

// Addr is the address listened on. Its type is [Addr].
func (l *Listener) Addr() net.Addr { return l.addr }

// Accept waits for the next connection whose handshake succeeded. A failed handshake
// is logged and is no error of Accept. Handshakes begin with the first Accept;
// until then connections wait in the kernel.
func (l *Listener) Accept() (net.Conn, error) {
	l.start.Do(func() { l.work.Go(l.loop) })
	select {
	case <-l.closed:
		return nil, addrError("accept", l.addr.Name, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, addrError("accept", l.addr.Name, err)
	case <-l.closed:
		return nil, addrError("accept", l.addr.Name, net.ErrClosed)
	}
}

// Close stops listening, gives up handshakes under way and removes the socket's file.
// A blocked Accept fails with an error that wraps [net.ErrClosed], as does a
// second Close. Connections that were accepted go on.
func (l *Listener) Close() error {
	err := addrError("close", l.addr.Name, net.ErrClosed)
	l.close.Do(func() {
		close(l.closed)
		l.start.Do(func() {}) // not any more
		err = l.sock.Close()
		l.shaker.close()
		l.work.Wait()
	})
	return err
}

// loop accepts sockets and starts their handshakes.
func (l *Listener) loop() {
	var wait backoff
	for {
		conn, err := l.sock.AcceptUnix()
		if err != nil {
			if !l.report(err) {
				return
			}
			if !wait.sleep(l.closed) {
				return
			}
			continue
		}
		wait.reset()
		g := l.shaker.begin(conn, l.closed)
		if g == nil {
			_ = conn.Close()
			return
		}
		l.work.Go(func() { l.serve(g) })
	}
}

// report gives an error of the socket, such as too many open files, to whoever
// calls Accept next. It tells whether the listener goes on.
func (l *Listener) report(err error) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	if l.drained.Load() {
		return false
	}
	select {
	case l.errs <- err:
		return true
	case <-l.closed:
		return false
	}
}

// serve does one handshake and hands the connection to Accept.
func (l *Listener) serve(g *guest) {
	defer l.shaker.leave()
	sess, err := l.handshake(g)
	if err != nil {
		_ = g.conn.Close()
		l.cfg.Logger.Info("shared-memory handshake failed", "addr", l.addr.String(), "error", err)
		return
	}
	c := open(sess, l.addr, Addr{}, l.cfg)
	select {
	case l.conns <- c:
	case <-l.closed:
		_ = c.Close()
	}
}
