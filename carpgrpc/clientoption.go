package carpgrpc

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/carp-rpc/carp-go/shmconn"
)

// WithTransportCredentials secures a client of a tcp target: credentials.NewTLS(…), or
// insecure.NewCredentials() for plain text on purpose. Without it NewClient refuses
// the target. Clients of unix and shm targets are not concerned, so that one list of
// options fits every target: see [AllowPeer] for theirs.
func WithTransportCredentials(creds credentials.TransportCredentials) ClientOption {
	return clientOption(func(c *clientConfig) { c.creds = creds })
}

// WithShm configures the shared memory of a shm target. Nil, the default, is
// shmconn's own default.
func WithShm(cfg *shmconn.Config) ClientOption {
	return clientOption(func(c *clientConfig) { c.shm = cfg })
}

// WithUnaryInterceptor sets the outermost interceptor of unary calls. Of several, the
// last is used.
func WithUnaryInterceptor(i grpc.UnaryClientInterceptor) ClientOption {
	return clientOption(func(c *clientConfig) { c.unary = i })
}

// WithChainUnaryInterceptor adds interceptors of unary calls. The first is the
// outermost, inside that of [WithUnaryInterceptor]; later options add inside earlier
// ones.
func WithChainUnaryInterceptor(is ...grpc.UnaryClientInterceptor) ClientOption {
	return clientOption(func(c *clientConfig) { c.unaryChain = append(c.unaryChain, is...) })
}

// WithStreamInterceptor sets the outermost interceptor of streams. Of several, the
// last is used.
func WithStreamInterceptor(i grpc.StreamClientInterceptor) ClientOption {
	return clientOption(func(c *clientConfig) { c.stream = i })
}

// WithChainStreamInterceptor adds interceptors of streams. The first is the outermost,
// inside that of [WithStreamInterceptor]; later options add inside earlier ones.
func WithChainStreamInterceptor(is ...grpc.StreamClientInterceptor) ClientOption {
	return clientOption(func(c *clientConfig) { c.streamChain = append(c.streamChain, is...) })
}

// WithStatsHandler adds a handler of stats events. All that are given are called, in
// this order.
func WithStatsHandler(h stats.Handler) ClientOption {
	return clientOption(func(c *clientConfig) { c.stats = append(c.stats, h) })
}

// WithDefaultCallOptions adds options that every call has before its own: message
// sizes (grpc.MaxCallRecvMsgSize), codecs (grpc.CallContentSubtype), wait-for-ready
// and so on.
func WithDefaultCallOptions(opts ...grpc.CallOption) ClientOption {
	return clientOption(func(c *clientConfig) { c.callOptions = append(c.callOptions, opts...) })
}

// WithPerRPCCredentials adds credentials that go with every call. Those that require
// transport security may be used on unix and shm targets, whose connections have
// the level PrivacyAndIntegrity, and on tcp with TLS.
func WithPerRPCCredentials(creds credentials.PerRPCCredentials) ClientOption {
	return clientOption(func(c *clientConfig) { c.perRPC = append(c.perRPC, creds) })
}

// WithAuthority sets the :authority of calls. The default is "localhost" for unix and
// shm targets, and host:port for tcp.
func WithAuthority(authority string) ClientOption {
	return clientOption(func(c *clientConfig) { c.authority = authority })
}

// WithUserAgent sets what comes before grpc-go's own text in the user-agent of calls.
func WithUserAgent(agent string) ClientOption {
	return clientOption(func(c *clientConfig) { c.userAgent = agent })
}

// minConnectTimeout is gRPC's default.
const minConnectTimeout = 20 * time.Second

// WithConnectParams sets the backoff between attempts to connect, and how long one
// may take at least. The default is grpc-go's: 1 s, growing by 1.6 up to 120 s, and 20 s
// for an attempt. These are the default also where p.MinConnectTimeout is zero: in grpc-go
// an attempt would have no longer than the backoff before the next one then.
func WithConnectParams(p grpc.ConnectParams) ClientOption {
	if p.MinConnectTimeout == 0 {
		p.MinConnectTimeout = minConnectTimeout
	}
	return clientOption(func(c *clientConfig) { c.connectParams = &p })
}

// WithIdleTimeout sets after how long without calls the connection, or the attempts to
// make one, are given up until the next one. Zero means never. The default is 30 min.
func WithIdleTimeout(d time.Duration) ClientOption {
	return clientOption(func(c *clientConfig) { c.idleTimeout = &d })
}

// WithKeepaliveParams sets when the client pings a silent server. By default it never
// does. The end of a process at the other end of a unix or shm connection shows
// without pings, so the direct transport has none. A server that is stopped (SIGSTOP)
// keeps its connections: deadlines end the calls to it.
func WithKeepaliveParams(p keepalive.ClientParameters) ClientOption {
	return clientOption(func(c *clientConfig) { c.keepalive = &p })
}

// WithMaxHeaderListSize bounds the metadata that a reply may bring, in bytes as HTTP/2
// counts them: names and values uncompressed, and 32 for each pair. Servers are told,
// and end calls that would bring more with Internal. The default is 16 MiB, of which
// they are not told.
func WithMaxHeaderListSize(bytes uint32) ClientOption {
	return clientOption(func(c *clientConfig) { c.maxHeaderList = &bytes })
}

// WithDialOptions takes options of grpc-go that have no counterpart here: service
// configs, compressors, window sizes and others. They come after this package's, so
// that transport credentials among them replace those of unix and shm too. A client
// with such options leaves its connection to grpc-go.
func WithDialOptions(opts ...grpc.DialOption) ClientOption {
	return clientOption(func(c *clientConfig) { c.grpc = append(c.grpc, opts...) })
}
