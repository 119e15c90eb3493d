package carpgrpc

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

// Creds secures the connections that are neither unix nor shm: credentials.NewTLS(…),
// or insecure.NewCredentials() for plain text on purpose. Without it, Serve refuses
// a listener of another kind. Unix and shm connections are not concerned: their
// credentials are the kernel's, see [AllowPeer].
func Creds(c credentials.TransportCredentials) ServerOption {
	return serverOption(func(s *serverConfig) { s.creds = c })
}

// UnaryInterceptor sets the outermost interceptor of unary calls. It may be given
// once.
func UnaryInterceptor(i grpc.UnaryServerInterceptor) ServerOption {
	return serverOption(func(s *serverConfig) {
		mustBeFirst(s.unary == nil, "UnaryInterceptor")
		s.unary = i
	})
}

// ChainUnaryInterceptor adds interceptors of unary calls. The first is the outermost,
// inside that of [UnaryInterceptor]; later options add inside earlier ones.
func ChainUnaryInterceptor(is ...grpc.UnaryServerInterceptor) ServerOption {
	return serverOption(func(s *serverConfig) { s.unaryChain = append(s.unaryChain, is...) })
}

// StreamInterceptor sets the outermost interceptor of streams. It may be given once.
func StreamInterceptor(i grpc.StreamServerInterceptor) ServerOption {
	return serverOption(func(s *serverConfig) {
		mustBeFirst(s.stream == nil, "StreamInterceptor")
		s.stream = i
	})
}

// ChainStreamInterceptor adds interceptors of streams. The first is the outermost,
// inside that of [StreamInterceptor]; later options add inside earlier ones.
func ChainStreamInterceptor(is ...grpc.StreamServerInterceptor) ServerOption {
	return serverOption(func(s *serverConfig) { s.streamChain = append(s.streamChain, is...) })
}

// mustBeFirst panics as grpc-go does: of two interceptors in one place, the one that
// would be dropped may be the one that guards.
func mustBeFirst(first bool, option string) {
	if !first {
		panic("carpgrpc: " + option + " is given twice: use Chain" + option)
	}
}

// StatsHandler adds a handler of stats events. All that are given are called, in
// this order.
func StatsHandler(h stats.Handler) ServerOption {
	return serverOption(func(s *serverConfig) { s.stats = append(s.stats, h) })
}

// MaxRecvMsgSize bounds the messages that the server takes, in bytes. The default is
// 4 MiB.
func MaxRecvMsgSize(bytes int) ServerOption {
	return serverOption(func(s *serverConfig) { s.maxRecv = &bytes })
}

// MaxSendMsgSize bounds the messages that the server sends, in bytes. The default is
// math.MaxInt32.
func MaxSendMsgSize(bytes int) ServerOption {
	return serverOption(func(s *serverConfig) { s.maxSend = &bytes })
}

// MaxConcurrentStreams bounds the calls in flight on one connection, and the handlers
// that run for it: those of cancelled calls count until they return. Clients are told
// and let further calls wait. The default is no bound over HTTP/2, and 65,536 on the
// direct transport.
func MaxConcurrentStreams(n uint32) ServerOption {
	return serverOption(func(s *serverConfig) { s.maxStreams = &n })
}

// MaxHeaderListSize bounds the metadata that a call may bring, in bytes as HTTP/2
// counts them: names and values uncompressed, and 32 for each pair. Clients are told
// and fail what is larger, with Internal. The default is 16 MiB, of which they are not
// told.
func MaxHeaderListSize(bytes uint32) ServerOption {
	return serverOption(func(s *serverConfig) { s.maxHeaderList = &bytes })
}

// ConnectionTimeout bounds how long a new connection may take until calls can be
// made on it. The default is 120 s. It is about HTTP/2: the direct transport needs
// nothing beyond the handshake of shared memory, which has
// shmconn.Config.HandshakeTimeout.
func ConnectionTimeout(d time.Duration) ServerOption {
	return serverOption(func(s *serverConfig) { s.connectionTimeout = &d })
}

// KeepaliveParams sets when the server pings a silent client, and when it ends idle
// and old connections. By default it never ends them.
//
// The end of a process at the other end of a unix or shm connection shows without
// pings, so the direct transport has none: Time and Timeout mean nothing to it. A
// client that is stopped (SIGSTOP) keeps its connection; the deadlines of its calls end
// their handlers.
func KeepaliveParams(p keepalive.ServerParameters) ServerOption {
	return serverOption(func(s *serverConfig) { s.keepalive = &p })
}

// KeepaliveEnforcementPolicy sets how often a client may ping before its connection
// is closed. It is about HTTP/2.
func KeepaliveEnforcementPolicy(p keepalive.EnforcementPolicy) ServerOption {
	return serverOption(func(s *serverConfig) { s.enforcement = &p })
}

// UnknownServiceHandler handles the calls of services and methods that are not
// registered, as bidirectional streams. Without it they fail with Unimplemented.
func UnknownServiceHandler(h grpc.StreamHandler) ServerOption {
	return serverOption(func(s *serverConfig) { s.unknown = h })
}

// ForceServerCodecV2 makes the server use one codec for all calls, whatever their
// content-subtype.
func ForceServerCodecV2(c encoding.CodecV2) ServerOption {
	return serverOption(func(s *serverConfig) { s.codec = c })
}

// HandlerGoroutines gives each call of the named methods ("/package.Service/Method") a
// goroutine that serves nothing else and ends with the call, on every transport; without
// names, each call of any method. Over HTTP/2 it is always so.
//
// By default the direct transport runs quick handlers on the goroutine that reads the
// connection, and others on goroutines that serve one call after another. Handlers
// don't notice, but for those that change the goroutine's thread: they need this option
// if they call runtime.LockOSThread and return without UnlockOSThread, so that the
// thread ends with them, or enter a namespace or change credentials of their thread. A
// handler that blocks needs it not: another goroutine takes the reading over.
func HandlerGoroutines(methods ...string) ServerOption {
	return serverOption(func(s *serverConfig) {
		s.ownGoroutines = append(s.ownGoroutines, methods...)
		s.allOwnGoroutines = s.allOwnGoroutines || len(methods) == 0
	})
}

// WaitForHandlers says whether Stop waits until all handlers have returned. The
// default is false: their contexts are cancelled and Stop returns.
func WaitForHandlers(wait bool) ServerOption {
	return serverOption(func(s *serverConfig) { s.waitForHandlers = wait })
}

// WithServerOptions takes options of grpc-go that have no counterpart here. They
// come after this package's, so that the credentials of a grpc.Creds among them are
// those of every connection, unix and shm included. A server with such options
// leaves all connections to grpc-go, and its GracefulStop and Stop wait, as
// grpc-go's do, for connections that are being set up (see [ConnectionTimeout]).
func WithServerOptions(opts ...grpc.ServerOption) ServerOption {
	return serverOption(func(s *serverConfig) { s.grpc = append(s.grpc, opts...) })
}
