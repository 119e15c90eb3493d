// Package carpgrpc is the front door for gRPC services of this module: a Server and
// a ClientConn that generated code takes for grpc-go's own.
//
//	lis, err := dialer.Listen(ctx, "shm:///run/app.sock")
//	s := carpgrpc.NewServer()
//	pb.RegisterGreeterServer(s, impl)
//	s.Serve(lis)
//
// and in another process:
//
//	cc, err := carpgrpc.NewClient("shm:///run/app.sock")
//	greeter := pb.NewGreeterClient(cc)
//
// Targets are those of package dialer: unix sockets, shared memory, TCP. A server
// serves listeners of all kinds at once, a client has one target.
//
// # Transports
//
// Over unix sockets and TCP a connection speaks HTTP/2, through an unmodified grpc-go,
// so that any gRPC client or server may be the other end. Over shared memory two ends
// that are both this package skip HTTP/2 and put calls into the memory directly
// ([Direct]); with a plain grpc-go at one end it is HTTP/2 there, too. Which of them
// it is, is agreed on when the connection is made, and nothing but the time that calls
// take depends on it. [ClientConn.Transport] says what the present connection speaks,
// and both ends log it (level Debug). When a server is replaced by one that speaks
// another transport, its clients follow.
//
// The direct transport has the semantics of grpc-go: interceptors, metadata, deadlines,
// cancellation, status and details, limits, statistics, call credentials, message
// codecs and compression, connectivity, graceful stops. A test suite compares what callers
// and handlers see over each transport with what plain grpc-go shows them, another what
// OpenTelemetry's handlers (otelgrpc) tell of them. What it has
// not, because nobody outside grpc-go can have it or because HTTP/2 is its subject:
//
//   - Service configs, and with them retry policies and health checks of clients. Calls
//     that no server has looked at are made again, as by grpc-go: streams as long as
//     what was sent on them is little (64 KiB, or less by
//     grpc.MaxRetryRPCBufferSize).
//   - Keepalive pings; see [KeepaliveParams].
//   - channelz, binary logs, and golang.org/x/net/trace.
//   - grpc.PreparedMsg, and the option experimental.AcceptCompressors: calls with them
//     fail with a clear error. grpc.SetSendCompressor and
//     grpc.ClientSupportedCompressors fail, too: a reply is compressed as its request
//     was.
//
// A program that needs one of them leaves its connections to grpc-go, by
// [WithDialOptions] or [WithServerOptions]; grpc.EmptyDialOption and
// grpc.EmptyServerOption do.
//
// # Security
//
// Unix and shm need no credentials: both ends ask the kernel whose process the
// other is, and accept their own user's and root's ([AllowPeer] changes the rule).
// A handler finds the caller with dialer.PeerFromContext. TCP requires the option
// [Creds], or [WithTransportCredentials] in clients: TLS, or
// insecure.NewCredentials() for plain text on purpose.
//
// # Options
//
// The options are this package's own and named like grpc-go's, because nobody
// outside grpc-go can read a grpc.ServerOption or grpc.DialOption: an interceptor
// hidden in one could guard only those connections that grpc-go itself serves.
// [WithServerOptions] and [WithDialOptions] take such opaque options all the same.
// A server or client that was given any leaves every connection to grpc-go, so that
// an option never guards one transport and not another.
//
// # Services
//
// Nothing is registered by itself. Health and reflection are registered like any
// service:
//
//	healthpb.RegisterHealthServer(s, health.NewServer())
//	reflection.Register(s)
//
// As in grpc-go, services are registered before Serve.
//
// # Stopping
//
// [Server.GracefulStop] takes no more calls and waits for those in flight;
// [Server.Stop] cancels them. Neither waits for a peer that connected and then said
// nothing. [ClientConn.Close] fails the calls in flight with Canceled, as it does
// those made afterwards.
package carpgrpc
