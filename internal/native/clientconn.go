package native

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// Conn is a connection that calls can be made on.
type Conn struct {
	*direct.Conn

	Peer *peer.Peer

	theirs settings
}

// Spin is how long the ends of a connection spin at most before they sleep, unless they are to
// save power. It is about what waking a core takes that sleeps.
const Spin = 50 * time.Microsecond

// ConnConfig says how a client's connection is made.
type ConnConfig struct {
	Peer  *peer.Peer
	Spin  time.Duration // at most, before it sleeps
	Stats []stats.Handler

	// MaxHeader bounds the header lists that are taken, in bytes; 0 is no bound but the
	// protocol's.
	MaxHeader int

	// Server serves the calls that the other end makes on the connection. Nil refuses
	// them.
	Server *Server

	// OnGoAway is called when the server wants no further calls. It must not block.
	OnGoAway func(*Conn)
}

// NewConn makes a connection of link, which it owns from here on, and waits within ctx for
// the server to say that it is there.
func NewConn(ctx context.Context, link direct.Link, cfg *ConnConfig) (*Conn, error) {
	c := &Conn{Peer: cfg.Peer}
	ours := settings{maxHeader: cfg.MaxHeader}
	opt := direct.Options{Spin: cfg.Spin, OnGoAway: func() { cfg.OnGoAway(c) }}
	var back *connHandler
	if s := cfg.Server; s != nil {
		ours.maxStreams, ours.serves = s.cfg.MaxHandlers, true
		back = s.newConnHandler(cfg.Peer)
		opt.Handler, opt.MaxHandlers = back, s.cfg.MaxHandlers
	}
	conn, err := direct.New(link, opt)
	if err != nil {
		link.Close()
		return nil, err
	}
	c.Conn = conn
	c.count(cfg.Stats)
	if c.theirs, err = exchange(ctx, conn, ours); err != nil {
		conn.Close()
		<-conn.Gone()
		return nil, err
	}
	if n := c.theirs.maxStreams; n > 0 {
		conn.LimitStreams(n)
	}
	if back != nil {
		back.told(c.theirs)
		cfg.Server.attach(conn)
	}
	return c, nil
}

// count tells statistics of the connection, and of its end.
func (c *Conn) count(handlers []stats.Handler) {
	if len(handlers) == 0 {
		return
	}
	ctx := connBegun(context.Background(), c.Peer, handlers, true)
	go func() {
		<-c.Done()
		connEnded(ctx, handlers, true)
	}()
}

// usable is why no call can be made on a connection that is not replaced by another, or nil.
func (c *Conn) usable() error {
	switch {
	case c.Err() != nil:
		return status.Error(codes.Unavailable, "the connection has ended: "+c.Err().Error())
	case c.Draining():
		return status.Error(codes.Unavailable, "the other end takes no further calls")
	}
	return nil
}

func (c *Conn) ready() *Conn {
	if c.usable() != nil {
		return nil
	}
	return c
}

// connBegun tells statistics of a new connection. The context is for what follows on it.
func connBegun(ctx context.Context, p *peer.Peer, handlers []stats.Handler, client bool) context.Context {
	for _, h := range handlers {
		ctx = h.TagConn(ctx, &stats.ConnTagInfo{RemoteAddr: p.Addr, LocalAddr: p.LocalAddr})
	}
	for _, h := range handlers {
		h.HandleConn(ctx, &stats.ConnBegin{Client: client})
	}
	return ctx
}

func connEnded(ctx context.Context, handlers []stats.Handler, client bool) {
	for _, h := range handlers {
		h.HandleConn(ctx, &stats.ConnEnd{Client: client})
	}
}
