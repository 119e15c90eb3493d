// Package bothways is the back door between carpgrpc and host: calls in both directions of
// one connection of the direct transport, whoever dialled.
//
// The functions are carpgrpc's, which sets them when it is initialised. They are here
// because they promise nothing on the other transports: over HTTP/2 only the end that
// dialled can make calls.
package bothways

import (
	"context"

	"google.golang.org/grpc"
)

var (
	// Serve is a carpgrpc.ClientOption: the calls that servers make on the client's
	// connections are served by srv, a *carpgrpc.Server, with its services,
	// interceptors and limits. They begin when the client is connected. Its GracefulStop
	// and Stop refuse further ones; Stop ends the connections. A server with opaque
	// options serves none.
	Serve func(srv any) any

	// Single is a carpgrpc.ServerOption: it tells the direct transport which of the
	// methods that the handler of unknown services takes have one message each way. Their
	// calls may be run on the goroutine that reads, as those of registered methods are,
	// and that goroutine asks, so single must be quick.
	Single func(single func(method string) bool) any

	// PerConn is a carpgrpc.ServerOption: with is told of each connection that the server
	// takes, on any transport, and its context is the parent of those of its calls. It has
	// nothing to do with calls on connections that a client lends, see Serve.
	PerConn func(with func(context.Context) context.Context) any

	// Caller is, in the context of a call that is being served, a client of whoever made
	// the call, over the same connection. Its calls fail with Unavailable when that has
	// ended. It may be kept for as long as one likes, and used from many goroutines.
	//
	// It is nil over HTTP/2, and if the other end serves no calls: if it is a client
	// without Serve. Calls pass no interceptors and are told to no statistics.
	Caller func(ctx context.Context) grpc.ClientConnInterface

	// Transport is what makes the calls of a client of carpgrpc, for [RawCall].
	Transport func(cc any) grpc.ClientConnInterface
)
