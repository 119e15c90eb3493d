package rpctest

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"
)

// A Stack is one way to serve and to call gRPC services: plain grpc-go over
// some kind of connection, or something that claims to behave like it.
type Stack struct {
	// Name tells stacks apart in test names and reports.
	Name string

	// Start starts a server with the given settings. What it needs (a
	// directory, a port) it takes for itself and gives back with
	// tb.Cleanup. A server that can't be started fails tb.
	Start func(tb testing.TB, cfg ServerConfig) Endpoint
}

// ServerConfig is what a case wants of a server, in terms that need no
// grpc.ServerOption, since those can't be read by anyone outside grpc-go. The
// zero value of every field but Register means the stack's default.
type ServerConfig struct {
	// Register registers the services. It is called once per started
	// server, before the server serves, and again after a Restart.
	Register func(grpc.ServiceRegistrar)

	// UnaryInterceptors and StreamInterceptors are chained: the first is
	// the outermost.
	UnaryInterceptors  []grpc.UnaryServerInterceptor
	StreamInterceptors []grpc.StreamServerInterceptor

	// StatsHandlers are all called, in this order.
	StatsHandlers []stats.Handler

	// UnknownService handles calls of services and methods that nobody
	// registered.
	UnknownService grpc.StreamHandler

	// MaxRecvMsgSize and MaxSendMsgSize are in bytes.
	MaxRecvMsgSize int
	MaxSendMsgSize int

	// MaxHeaderListSize bounds the metadata of requests, in bytes as
	// grpc.MaxHeaderListSize counts them.
	MaxHeaderListSize uint32

	// MaxConcurrentStreams bounds the calls of one connection.
	MaxConcurrentStreams uint32
}

// ClientConfig is what a case wants of a client. The zero value of every
// field means the stack's default.
type ClientConfig struct {
	// UnaryInterceptors and StreamInterceptors are chained: the first is
	// the outermost.
	UnaryInterceptors  []grpc.UnaryClientInterceptor
	StreamInterceptors []grpc.StreamClientInterceptor

	// StatsHandlers are all called, in this order.
	StatsHandlers []stats.Handler

	// CallOptions are the defaults of every call.
	CallOptions []grpc.CallOption

	// PerRPCCredentials go with every call.
	PerRPCCredentials credentials.PerRPCCredentials

	// UserAgent is put before the library's own user agent.
	UserAgent string

	// Authority is what the server shall see as :authority.
	Authority string

	// MaxHeaderListSize bounds the headers and trailers of replies, in
	// bytes as grpc.WithMaxHeaderListSize counts them.
	MaxHeaderListSize uint32
}

// An Endpoint is a running server and the way to reach it.
type Endpoint interface {
	// Dial makes a client of this server. It need not connect. The client
	// is closed by whoever called Dial.
	Dial(tb testing.TB, cfg ClientConfig) Conn

	// GracefulStop and Stop are grpc.Server's.
	GracefulStop()
	Stop()

	// Restart serves again, with the same settings and at the same
	// address, after Stop or GracefulStop.
	Restart(tb testing.TB)
}

// A Conn is a client connection. *grpc.ClientConn is one. Those that also
// have its connectivity methods (see [StateConn]) are tested on these too.
type Conn interface {
	grpc.ClientConnInterface
	Close() error
}

// StateConn is the connectivity API of *grpc.ClientConn.
type StateConn interface {
	Connect()
	GetState() connectivity.State
	WaitForStateChange(ctx context.Context, source connectivity.State) bool
	ResetConnectBackoff()
}
