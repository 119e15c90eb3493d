package link

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
)

// A Stream carries the frames of a link. Both ends' generated streams of
// carp.v1.Peer/Link are one. Send and Recv are each called by one goroutine.
type Stream interface {
	Send(*carpv1.Frame) error
	Recv() (*carpv1.Frame, error)
}

// Config is one end's part in a link. It is not changed by Start. The functions
// are called by the link's own goroutines and must not wait for the link.
type Config struct {
	// Opened tells that this end opened the stream.
	Opened bool
	// Hello is what this end says of itself: id, nonce, label, agent, features.
	Hello *carpv1.Hello
	// Limits are what this end is willing to receive.
	Limits Limits
	// HelloTimeout bounds the wait for the peer's Hello; 0 is 10 seconds.
	HelloTimeout time.Duration
	// Keepalive is how long the peer may be silent before it is asked whether
	// it lives, and then again before the link ends. 0 never asks.
	Keepalive time.Duration
	// Context is the parent of the contexts of calls from the peer. It ends
	// the link when it is done.
	Context context.Context

	// Serve runs one call from the peer and must end it with Reply. It is
	// called on a goroutine of the call's own.
	Serve func(*Incoming)
	// Greet hears the peer's Hello, before Ready. An error ends the link. It
	// may be nil.
	Greet func(*carpv1.Hello) error
	// Exports receives the peer's announcements, in order. An error ends the
	// link. It is called by the reader, and may hold that up when there are too many.
	Exports func(*carpv1.Exports) error
	// Announcement returns what is to be announced next, or nil if there is
	// nothing. It is called by the writer, first when the peer has said hello,
	// and again after each [Link.Announce]. It may be nil.
	Announcement func() *carpv1.Exports
	// Left is called when the peer has said goaway, with its reason. It may be nil.
	Left func(reason string)
	// Release is called when the peer gives references back. It must not wait.
	// It may be nil.
	Release func([]*carpv1.Released)
	// Tunnel is called when the peer asks for a tunnel. It may be nil.
	Tunnel func()
}

// A Link joins this end with a peer. Its methods may be called at any time by
// any goroutine.
type Link struct {
	cfg    Config
	stream Stream
	ready  chan struct{} // closed when the peer's Hello is there
	done   chan struct{} // closed when the link has ended
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup // the reader and the writer

	helloTimer *time.Timer
	unwatch    func() bool // stops watching cfg.Context
	alive      keepalive

	mu    sync.Mutex
	wake  sync.Cond // the writer waits here
	err   error     // why the link ended; set once
	peer  *carpv1.Hello
	slots chan struct{} // room for calls in flight to the peer; made with peer

	peerLimits Limits
	nextID     uint64 // of our next call
	lastID     uint64 // of the peer's latest call
	calls      map[uint64]*Outgoing
	serving    map[uint64]*Incoming
	drained    chan struct{} // closed when nothing is left to answer after Goaway
	leaving    bool          // we sent Goaway
	left       error         // the peer sent Goaway

	lastPing uint64
	pings    map[uint64]chan struct{} // closed when the peer has answered

	helloSent  bool
	news       bool // there may be something to announce
	urgent     []queued
	bulk       []*payload // taken in turn
	sendWindow int64      // what we may send in items and chunks, over all calls
	recvWindow int64      // what the peer may
	returned   int64      // received since the last credit for recvWindow
	pool       pool
}

// Start opens a link on a stream: New and Start in one.
func Start(stream Stream, cfg Config) *Link {
	l := New(cfg)
	l.Start(stream)
	return l
}

// New makes a link that is to be started, or closed.
func New(cfg Config) *Link {
	cfg.Limits = cfg.Limits.withDefaults()
	l := &Link{
		cfg:        cfg,
		ready:      make(chan struct{}),
		done:       make(chan struct{}),
		calls:      make(map[uint64]*Outgoing),
		serving:    make(map[uint64]*Incoming),
		pings:      make(map[uint64]chan struct{}),
		drained:    make(chan struct{}),
		nextID:     2,
		news:       cfg.Announcement != nil,
		recvWindow: cfg.Limits.LinkWindow,
		pool:       pool{free: cfg.Limits.Pool},
	}
	if cfg.Opened {
		l.nextID = 1
	}
	l.wake.L = &l.mu
	l.ctx, l.cancel = context.WithCancel(cfg.Context)
	l.watch()
	return l
}

// Start opens the link. It returns at once; Ready tells when the peer has
// answered. The stream must end when Done is closed, by the caller's doing.
func (l *Link) Start(stream Stream) {
	l.stream = stream
	l.loops.Go(l.write)
	l.loops.Go(l.read)
}

// Ready is closed when the peer's Hello has arrived.
func (l *Link) Ready() <-chan struct{} { return l.ready }

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// Context ends when the link does.
func (l *Link) Context() context.Context { return l.ctx }

// Err is why the link ended, or nil.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Peer is what the peer said of itself, or nil before Ready.
func (l *Link) Peer() *carpv1.Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peer
}

// Wait returns when the link has ended and its goroutines, but for those of
// handlers, are gone.
func (l *Link) Wait() { l.loops.Wait() }

// watch ends the link when its context does, or the peer doesn't say hello.
func (l *Link) watch() {
	timeout := l.cfg.HelloTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	l.helloTimer = time.AfterFunc(timeout, func() {
		if l.Peer() == nil {
			l.Close(refusal(codes.DeadlineExceeded, "the peer sent no hello within %v", timeout))
		}
	})
	l.unwatch = context.AfterFunc(l.cfg.Context, func() {
		l.Close(refusal(codes.Canceled, "%v", context.Cause(l.cfg.Context)))
	})
}

// Close ends the link at once: calls in flight to the peer fail with err,
// handlers of calls from the peer see their contexts cancelled. Only the first
// Close has an effect.
func (l *Link) Close(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	if err == nil {
		err = io.ErrClosedPipe
	}
	l.err = err
	for _, c := range l.calls {
		c.end(nil, &LostError{Sent: c.sent, Err: err})
	}
	l.calls = nil
	l.urgent, l.bulk = nil, nil
	l.wake.Broadcast()
	l.alive.stop()
	l.mu.Unlock()

	l.helloTimer.Stop()
	l.unwatch()
	l.cancel()
	close(l.done)
}

// read is the reader.
func (l *Link) read() {
	for {
		f, err := l.stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrEnded
			}
			l.Close(err)
			return
		}
		if err := l.receive(f); err != nil {
			l.Close(err)
			return
		}
	}
}

// write is the writer.
func (l *Link) write() {
	for {
		f, ok := l.next()
		if !ok {
			return
		}
		if err := l.stream.Send(f); err != nil {
			// io.EOF says only that the stream has ended; the reader is told
			// why.
			if !errors.Is(err, io.EOF) {
				l.Close(err)
			}
			return
		}
	}
}

// Announce makes the writer ask for announcements. They are sent before anything
// that is queued after Announce.
func (l *Link) Announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.news = true
	l.wake.Signal()
}

// AskForTunnel asks the peer, which opened the link, for a tunnel.
func (l *Link) AskForTunnel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue(&carpv1.Frame{Kind: &carpv1.Frame_Tunnel{Tunnel: &carpv1.Tunnel{}}}, nil)
}

// Goaway tells the peer that this end takes no more calls, and returns when
// those from the peer that it has taken have been answered, or with the error of
// ctx.
func (l *Link) Goaway(ctx context.Context, reason string) error {
	l.mu.Lock()
	if !l.leaving {
		l.leaving = true
		l.queue(&carpv1.Frame{Kind: &carpv1.Frame_Goaway{Goaway: &carpv1.Goaway{LastId: l.lastID, Reason: reason}}}, nil)
	}
	l.mu.Unlock()
	select {
	case <-l.drained:
		return nil
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
