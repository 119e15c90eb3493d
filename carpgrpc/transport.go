package carpgrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// Transport is how calls travel over a connection.
type Transport string

const (
	// None is the transport of a client that is not connected.
	None Transport = "none"
	// HTTP2 is what every gRPC implementation speaks, here through grpc-go.
	HTTP2 Transport = "HTTP/2"
)

// Where transports plug in.
//
// A transport other than HTTP/2 has two places to take part, one at each end, and
// each is decided once per connection, from what the two ends agreed on when they
// connected:
//
//   - Server: Server.route sees every accepted conn before grpc-go does. A
//     transport that recognises one serves it and keeps it; what route returns goes
//     to grpc-go. Stop and GracefulStop end such transports beside grpc-go, and
//     RegisterService tells them of services.
//   - Client: clientConfig.connect makes what ClientConn forwards everything to, a
//     clientTransport. One that speaks something else over shm implements this
//     interface, and has an http2Transport inside for the peer that does not.
//
// Both read their settings from serverConfig and clientConfig, which hold each
// option in a form that anyone can apply, and both must leave a connection to
// grpc-go when opaque() says that there are options which only grpc-go can read.

// clientTransport is what ClientConn is made of. All methods are as in
// [*grpc.ClientConn] and safe for concurrent use.
type clientTransport interface {
	grpc.ClientConnInterface
	Connect()
	Close() error
	GetState() connectivity.State
	WaitForStateChange(ctx context.Context, source connectivity.State) bool
	ResetConnectBackoff()

	// transport says what the present connection speaks.
	transport() Transport
}

// http2Transport is grpc-go's own.
type http2Transport struct{ *grpc.ClientConn }

func (t http2Transport) transport() Transport {
	// grpc-go lets calls through a moment before it says that it is ready, and holds a
	// lock meanwhile, which this waits for: a call may just have been answered.
	_ = t.GetMethodConfig("")
	if t.GetState() != connectivity.Ready {
		return None
	}
	return HTTP2
}
