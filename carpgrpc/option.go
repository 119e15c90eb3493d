package carpgrpc

import (
	"log/slog"

	"github.com/carp-rpc/carp-go/dialer"
)

// ServerOption configures a [Server].
type ServerOption interface{ applyServer(*serverConfig) }

// ClientOption configures a [ClientConn].
type ClientOption interface{ applyClient(*clientConfig) }

// Option configures both.
type Option interface {
	ServerOption
	ClientOption
}

type serverOption func(*serverConfig)

func (o serverOption) applyServer(c *serverConfig) { o(c) }

type clientOption func(*clientConfig)

func (o clientOption) applyClient(c *clientConfig) { o(c) }

// option sets what is in the part that both configurations share.
type option func(*commonConfig)

func (o option) applyServer(c *serverConfig) { o(&c.commonConfig) }
func (o option) applyClient(c *clientConfig) { o(&c.commonConfig) }

type commonConfig struct {
	allow  func(dialer.PeerCred) error
	logger *slog.Logger
}

// AllowPeer replaces the rule about who may be at the other end of a unix or shm
// connection. An error refuses the process; a client that is refused is told the
// error's text. The function is called from several goroutines. By default it is
// the user of this process, or root.
//
// The rule is applied to each connection that a server accepts. A shm listener has
// its own besides, which comes first: see dialer.Config.
func AllowPeer(allow func(dialer.PeerCred) error) Option {
	return option(func(c *commonConfig) { c.allow = allow })
}

// Logger sets where the server or client logs: connections and their transport at
// level Debug, refused peers at Warn. By default nothing is logged. (What grpc-go
// logs by itself goes to package grpclog, as ever.)
func Logger(l *slog.Logger) Option {
	return option(func(c *commonConfig) { c.logger = l })
}

func (c *commonConfig) log() *slog.Logger {
	if c.logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.logger
}
