package carpgrpc

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/dialer"
)

// serverConfig is what the options of a Server say, for any transport to apply. A nil
// pointer is an option that was not given.
type serverConfig struct {
	commonConfig

	creds             credentials.TransportCredentials
	unary             grpc.UnaryServerInterceptor
	unaryChain        []grpc.UnaryServerInterceptor
	stream            grpc.StreamServerInterceptor
	streamChain       []grpc.StreamServerInterceptor
	stats             []stats.Handler
	maxRecv           *int
	maxSend           *int
	maxStreams        *uint32
	maxHeaderList     *uint32
	connectionTimeout *time.Duration
	keepalive         *keepalive.ServerParameters
	enforcement       *keepalive.EnforcementPolicy
	unknown           grpc.StreamHandler
	single            func(method string) bool              // of those that unknown takes; see package bothways
	perConn           func(context.Context) context.Context // or nil; see package bothways
	codec             encoding.CodecV2
	waitForHandlers   bool
	ownGoroutines     []string // full names of methods
	allOwnGoroutines  bool

	grpc []grpc.ServerOption
}

func newServerConfig(opts []ServerOption) *serverConfig {
	var c serverConfig
	for _, o := range opts {
		o.applyServer(&c)
	}
	return &c
}

// opaque reports whether there are options that only grpc-go can read.
func (c *serverConfig) opaque() bool { return len(c.grpc) > 0 }

// peerCredentials choose by the connection, see package dialer.
func (c *serverConfig) peerCredentials() credentials.TransportCredentials {
	d := &dialer.Config{Allow: c.allow, TCP: c.creds, Logger: c.log()}
	return d.Credentials()
}

// checkListener reports whether connections of lis could be served at all.
func (c *serverConfig) checkListener(lis net.Listener) error {
	addr := lis.Addr()
	if addr.Network() == "unix" || c.creds != nil || c.opaque() {
		return nil
	}
	return fmt.Errorf("serve %s %s: %w (option carpgrpc.Creds)", addr.Network(), addr, dialer.ErrNoCredentials)
}

// grpcOptions says the same to grpc-go.
func (c *serverConfig) grpcOptions() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.Creds(unwrapping{c.peerCredentials(), c}),
		grpc.ChainUnaryInterceptor(c.unaryChain...),
		grpc.ChainStreamInterceptor(c.streamChain...),
		grpc.WaitForHandlers(c.waitForHandlers),
	}
	if c.unary != nil {
		opts = append(opts, grpc.UnaryInterceptor(c.unary))
	}
	if c.stream != nil {
		opts = append(opts, grpc.StreamInterceptor(c.stream))
	}
	for _, h := range c.stats {
		opts = append(opts, grpc.StatsHandler(h))
	}
	if c.perConn != nil {
		opts = append(opts, grpc.StatsHandler(connTagger{c.perConn}))
	}
	if c.unknown != nil {
		opts = append(opts, grpc.UnknownServiceHandler(c.unknown))
	}
	if c.codec != nil {
		opts = append(opts, grpc.ForceServerCodecV2(c.codec))
	}
	opts = given(opts, c.maxRecv, grpc.MaxRecvMsgSize)
	opts = given(opts, c.maxSend, grpc.MaxSendMsgSize)
	opts = given(opts, c.maxStreams, grpc.MaxConcurrentStreams)
	opts = given(opts, c.maxHeaderList, grpc.MaxHeaderListSize)
	opts = given(opts, c.connectionTimeout, grpc.ConnectionTimeout)
	opts = given(opts, c.keepalive, grpc.KeepaliveParams)
	opts = given(opts, c.enforcement, grpc.KeepaliveEnforcementPolicy)
	return append(opts, c.grpc...)
}

// given appends the option for a value that was set.
func given[T, O any](opts []O, value *T, option func(T) O) []O {
	if value == nil {
		return opts
	}
	return append(opts, option(*value))
}
