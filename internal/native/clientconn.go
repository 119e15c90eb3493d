package native

import (
	"context"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// Conn is a connection that calls can be made on.
type Conn struct {
	*direct.Conn

	Peer *peer.Peer
}

// NewConn makes a connection of link, which it owns from here on. goAway is called when the
// server wants no further calls.
func NewConn(link direct.Link, p *peer.Peer, handlers []stats.Handler, goAway func(*Conn)) (*Conn, error) {
	c := &Conn{Peer: p}
	var err error
	c.Conn, err = direct.New(link, direct.Options{Spin: DefaultSpin, OnGoAway: func() { goAway(c) }})
	if err != nil {
		link.Close()
		return nil, err
	}
	if len(handlers) > 0 {
		ctx := connBegun(context.Background(), p, handlers, true)
		go func() {
			<-c.Done()
			connEnded(ctx, handlers, true)
		}()
	}
	return c, nil
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
