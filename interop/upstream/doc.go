// Package upstream runs the client cases of grpc-go's own interoperability
// suite, google.golang.org/grpc/interop, over any grpc.ClientConnInterface.
//
// The cases are those that every gRPC implementation passes, named as the
// cross-language specification names them. Their code is grpc-go's, which ends
// the process when a case fails; so each case belongs in a process of its own:
//
//	func runCase(c *testproc.Child) error {
//		cc, err := carpgrpc.NewClient(c.Args[0])
//		…
//		return upstream.RunCase(ctx, c.Args[1], cc)
//	}
//
// The server's side is [Register].
//
// This is a module of its own because google.golang.org/grpc/interop needs
// modules that nothing else here needs.
package upstream
