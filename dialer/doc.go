// Package dialer gives names to the ways in which two processes can be connected,
// and brings gRPC onto each of them.
//
// A target names a place to listen or to dial:
//
//	shm:///run/app.sock    shared memory, met over the unix socket /run/app.sock
//	shm-abstract:app       the same, met in the abstract namespace (Linux)
//	unix:///run/app.sock   a unix socket; unix:relative is relative to the working directory
//	unix-abstract:app      a unix socket in the abstract namespace (Linux)
//	tcp://host:port        TCP
//
// [Listen] and [Dial] take any of them and return what the net package would:
//
//	lis, err := dialer.Listen(ctx, "unix:///run/app.sock")
//	conn, err := dialer.Dial(ctx, "unix:///run/app.sock")
//
// # gRPC
//
// An existing gRPC program changes where it listens and what it dials, and nothing
// else. The server:
//
//	lis, err := dialer.Listen(ctx, "shm:///run/app.sock")
//	s := grpc.NewServer(grpc.Creds(dialer.Credentials()))
//	pb.RegisterGreeterServer(s, impl)
//	s.Serve(lis)
//
// and the client:
//
//	target, opts, err := dialer.GRPC("shm:///run/app.sock")
//	cc, err := grpc.NewClient(target, opts...)
//
// It stays HTTP/2 on every transport. Package carpgrpc is the door to what shared
// memory can do beyond that.
//
// # Who may connect
//
// A unix socket can be connected to by whoever may write its file, and an abstract
// one by everybody on the machine. So [Credentials] ask the kernel who the peer
// is: a server accepts the user it runs as and root, and a client speaks to a
// server of its own user or of root, unless [Config.Allow] says otherwise. Who it
// was is in the call's context ([PeerFromContext]). A refused client's calls fail
// with PermissionDenied and a text that says who was refused.
//
// TCP has no such thing: [Config.TCP] must say what secures it, and leaving it out
// is an error rather than plain text. One grpc.Server with these credentials
// serves listeners of all kinds at once.
//
// # Socket files
//
// Listen removes a stale socket file, one that a dead server left: a file that is
// a socket, that refused a connect, and that is still the same file then. Whatever
// else is in the way stays, and is an error. Several processes that start on one
// path at once take turns by a lock file (".name.carp-lock", removed again), so
// that one of them gets the path and none takes it from another. Close removes the
// listener's own file, and no file that took its place.
//
// Permissions of the file come from the process's umask; a directory that only the
// intended users can enter is the simplest protection, and [Config.Allow] the
// second.
//
// # Errors
//
// Errors are of type [*Error]: what was tried, on which target, why it failed, and
// for the everyday causes what to do. [errors.Is] finds this package's causes and
// the system's below them.
//
// # Platforms
//
// unix and tcp work wherever Go's net package has them, abstract names and shm on
// Linux. Elsewhere those return an error that wraps [errors.ErrUnsupported]. Peer
// credentials are read on Linux and macOS; see [Config.Allow] for the rest.
//
// All functions and methods may be called from several goroutines at once.
package dialer
