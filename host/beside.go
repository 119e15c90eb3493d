package host

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/internal/bothways"
)

// besideConn makes calls over the connection that a link's stream is on, and knows
// when none is in flight.
type besideConn struct {
	rpc grpc.ClientConnInterface

	mu     sync.Mutex
	calls  int
	waiter chan struct{} // closed when there are no calls; nil if nobody waits
}

var (
	_ grpc.ClientConnInterface = (*besideConn)(nil)
	_ bothways.RawInvoker      = (*besideConn)(nil)
)

func newBesideConn(cc *carpgrpc.ClientConn) *besideConn {
	return &besideConn{rpc: bothways.Transport(cc)}
}

// Invoke implements [grpc.ClientConnInterface].
func (c *besideConn) Invoke(ctx context.Context, path string, in, out any, opts ...grpc.CallOption) error {
	c.begin()
	defer c.end()
	return c.rpc.Invoke(ctx, path, in, out, opts...)
}

// InvokeRaw implements [bothways.RawInvoker].
func (c *besideConn) InvokeRaw(ctx context.Context, call *bothways.RawCall) error {
	c.begin()
	defer c.end()
	return call.Over(ctx, c.rpc)
}

// NewStream implements [grpc.ClientConnInterface].
func (c *besideConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c.begin()
	end := sync.OnceFunc(c.end)
	opts = append(opts[:len(opts):len(opts)], grpc.OnFinish(func(error) { end() }))
	s, err := c.rpc.NewStream(ctx, desc, path, opts...)
	if err != nil {
		end()
	}
	return s, err
}

func (c *besideConn) begin() {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
}

func (c *besideConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls--; c.calls == 0 && c.waiter != nil {
		close(c.waiter)
		c.waiter = nil
	}
}

// idle returns a channel that is closed when no call is in flight. One goroutine
// asks.
func (c *besideConn) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := make(chan struct{})
	if c.calls == 0 {
		close(idle)
		return idle
	}
	c.waiter = idle
	return idle
}
