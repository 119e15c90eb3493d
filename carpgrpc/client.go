package carpgrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// ClientConn is a client of one target. Generated code takes it for a
// *grpc.ClientConn, and it behaves like one: it connects with the first call or
// [ClientConn.Connect], connects anew after a loss, and backs off while that fails.
// Its methods may be called from several goroutines.
type ClientConn struct {
	target string
	over   clientTransport
}

var _ grpc.ClientConnInterface = (*ClientConn)(nil)

// NewClient makes a client of target, in the grammar of dialer.Parse. It does not
// connect yet, so that its errors are about the target and the options: they name
// the target and wrap dialer's causes, dialer.ErrNoCredentials for a tcp target
// without [WithTransportCredentials] among them. Close releases the client.
func NewClient(target string, opts ...ClientOption) (*ClientConn, error) {
	cfg := newClientConfig(opts)
	over, err := cfg.connect(target)
	if err != nil {
		return nil, err
	}
	return &ClientConn{target: target, over: over}, nil
}

// Target returns the target as it was given to NewClient.
func (cc *ClientConn) Target() string { return cc.target }

// Transport says what the present connection speaks. It is [None] while there is no
// connection.
func (cc *ClientConn) Transport() Transport { return cc.over.transport() }

// Invoke makes a unary call; generated code calls it.
func (cc *ClientConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return cc.over.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a stream; generated code calls it.
func (cc *ClientConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return cc.over.NewStream(ctx, desc, method, opts...)
}

// Connect begins to connect if the client is idle. It does not wait.
func (cc *ClientConn) Connect() { cc.over.Connect() }

// GetState returns the state of the connection. A new client is Idle.
func (cc *ClientConn) GetState() connectivity.State { return cc.over.GetState() }

// WaitForStateChange waits until the state is another than source, and reports false
// if ctx ends before.
func (cc *ClientConn) WaitForStateChange(ctx context.Context, source connectivity.State) bool {
	return cc.over.WaitForStateChange(ctx, source)
}

// ResetConnectBackoff makes a client that waits between attempts to connect try at
// once.
func (cc *ClientConn) ResetConnectBackoff() { cc.over.ResetConnectBackoff() }

// Close closes the connection. Calls in flight, and later ones, fail with Canceled. A
// second Close returns an error.
func (cc *ClientConn) Close() error { return cc.over.Close() }
