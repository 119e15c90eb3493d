package carpgrpc

import (
	"context"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/shmconn"
)

// clientConfig is what the options of a ClientConn say, for any transport to apply. A
// nil pointer is an option that was not given.
type clientConfig struct {
	commonConfig

	creds         credentials.TransportCredentials
	shm           *shmconn.Config
	unary         grpc.UnaryClientInterceptor
	unaryChain    []grpc.UnaryClientInterceptor
	stream        grpc.StreamClientInterceptor
	streamChain   []grpc.StreamClientInterceptor
	stats         []stats.Handler
	callOptions   []grpc.CallOption
	perRPC        []credentials.PerRPCCredentials
	authority     string
	userAgent     string
	connectParams *grpc.ConnectParams
	idleTimeout   *time.Duration
	keepalive     *keepalive.ClientParameters
	maxHeaderList *uint32
	serving       *Server // serves the calls of the other end

	grpc []grpc.DialOption
}

func newClientConfig(opts []ClientOption) *clientConfig {
	var c clientConfig
	for _, o := range opts {
		o.applyClient(&c)
	}
	return &c
}

// opaque reports whether there are options that only grpc-go can read.
func (c *clientConfig) opaque() bool { return len(c.grpc) > 0 }

// dialer is how connections are made.
func (c *clientConfig) dialer() *dialer.Config {
	d := &dialer.Config{Shm: c.shm, Allow: c.allow, TCP: c.creds, Logger: c.log()}
	if d.TCP == nil && c.opaque() {
		// There may be credentials among the options that only grpc-go can
		// read. If not, these refuse tcp, only later.
		d.TCP = dialer.Credentials()
	}
	return d
}

// connect makes what a ClientConn forwards everything to; see transport.go.
func (c *clientConfig) connect(target string) (clientTransport, error) {
	if t, err := dialer.Parse(target); err == nil && t.Network == dialer.Shm && !c.opaque() {
		return c.connectDirect(target)
	}
	return c.connectHTTP2(target)
}

func (c *clientConfig) connectHTTP2(target string) (clientTransport, error) {
	d := c.dialer()
	grpcTarget, opts, err := d.GRPC(target)
	if err != nil {
		return nil, err
	}
	opts = append(opts, grpc.WithTransportCredentials(announcing{credentialsFor(target, d), c.log(), target}))
	cc, err := grpc.NewClient(grpcTarget, append(opts, c.grpcOptions()...)...)
	if err != nil {
		return nil, &dialer.Error{Op: "dial", Target: target, Err: err}
	}
	return http2Transport{cc}, nil
}

// credentialsFor returns those that d uses for target, which has been found good.
func credentialsFor(target string, d *dialer.Config) credentials.TransportCredentials {
	if t, _ := dialer.Parse(target); t.Network == dialer.TCP {
		return d.TCP
	}
	return d.Credentials()
}

// announcing credentials log the connections that are made with them.
type announcing struct {
	credentials.TransportCredentials

	logger *slog.Logger
	target string
}

// ClientHandshake implements [credentials.TransportCredentials].
func (a announcing) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := a.TransportCredentials.ClientHandshake(ctx, authority, conn)
	if err == nil {
		a.logger.Debug("connected", "target", a.target, "transport", HTTP2)
	}
	return conn, info, err
}

// Clone implements [credentials.TransportCredentials].
func (a announcing) Clone() credentials.TransportCredentials {
	return announcing{a.TransportCredentials.Clone(), a.logger, a.target}
}

// grpcOptions says the same to grpc-go.
func (c *clientConfig) grpcOptions() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(c.unaryChain...),
		grpc.WithChainStreamInterceptor(c.streamChain...),
		grpc.WithDefaultCallOptions(c.callOptions...),
	}
	if c.unary != nil {
		opts = append(opts, grpc.WithUnaryInterceptor(c.unary))
	}
	if c.stream != nil {
		opts = append(opts, grpc.WithStreamInterceptor(c.stream))
	}
	for _, h := range c.stats {
		opts = append(opts, grpc.WithStatsHandler(h))
	}
	for _, p := range c.perRPC {
		opts = append(opts, grpc.WithPerRPCCredentials(p))
	}
	if c.authority != "" {
		opts = append(opts, grpc.WithAuthority(c.authority))
	}
	if c.userAgent != "" {
		opts = append(opts, grpc.WithUserAgent(c.userAgent))
	}
	opts = given(opts, c.connectParams, grpc.WithConnectParams)
	opts = given(opts, c.idleTimeout, grpc.WithIdleTimeout)
	opts = given(opts, c.keepalive, grpc.WithKeepaliveParams)
	opts = given(opts, c.maxHeaderList, grpc.WithMaxHeaderListSize)
	return append(opts, c.grpc...)
}
