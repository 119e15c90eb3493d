package native

import (
	"context"
	"sync"

	"google.golang.org/grpc"
)

// Caller is a client of whoever made the call that ctx is the context of: its calls go over
// the connection that the call came by, in the other direction. It lives as long as the
// connection; then its calls fail with Unavailable. It is nil if ctx is not the context of a
// call served by a [Server], or if the other end serves no calls.
//
// Its calls pass no interceptors and are told to no statistics.
func Caller(ctx context.Context) *Client {
	t, ok := grpc.ServerTransportStreamFromContext(ctx).(*transportStream)
	if !ok {
		return nil
	}
	h := t.stream.Handler().(*connHandler)
	theirs := h.theirs.Load()
	if theirs == nil || !theirs.serves {
		return nil
	}
	return h.back.client(&Conn{Conn: t.stream.Conn(), Peer: h.peer, theirs: *theirs})
}

// backCaller is the client of a connection's other end, made at its first use.
type backCaller struct {
	once sync.Once
	c    *Client
}

func (b *backCaller) client(conn *Conn) *Client {
	b.once.Do(func() {
		b.c = NewClient(ClientConfig{
			Back:      true,
			Ready:     conn.ready,
			Pick:      func(context.Context, bool) (*Conn, error) { return conn, conn.usable() },
			Authority: DefaultAuthority,
			UserAgent: DefaultUserAgent,
		})
	})
	return b.c
}
