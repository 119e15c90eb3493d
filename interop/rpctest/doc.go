// Package rpctest compares gRPC stacks with grpc-go.
//
// One body of calls runs on plain grpc-go over TCP, the reference, and on the
// stack under test. What callers and handlers see is taken down, and the two
// records must be equal. "Behaves like grpc-go" is a test result then:
//
//	func TestLikeGRPC(t *testing.T) {
//		rpctest.Run(t, stack, rpctest.Options{})
//	}
//
// # Stacks
//
// A [Stack] starts a server with the settings of a [ServerConfig] and makes
// clients with those of a [ClientConfig]. These are plain structs, because
// nobody outside grpc-go can read a grpc.ServerOption: each stack translates
// them to its own options. [Stock] makes a stack of an unmodified grpc-go over
// any kind of connection:
//
//	stack := rpctest.Stock("grpc-go over unix", func(tb testing.TB) rpctest.Address {
//		path := filepath.Join(tb.TempDir(), "s")
//		return rpctest.Address{
//			Listen: func() (net.Listener, error) { return net.Listen("unix", path) },
//			Target: "unix://" + path,
//		}
//	})
//
// # Cases
//
// A case is one rule of gRPC, said in words that are printed when the stack
// breaks it, and the calls that show it. Its name begins with its subject:
// calls, status, cancel, deadline, header, metadata, stream, limits, codec,
// interceptor, option, creds, stats, context, unknown, concurrent, memory,
// large, lifecycle, process, generated. A single case is run with
//
//	go test -run 'TestLikeGRPC/^cancel$/before'
//
// and with -v each case prints what the reference shows.
//
// A case says nothing about what is right. It makes calls, takes down what it
// sees, and leaves the verdict to the comparison. So what goes wrong is seen
// whatever it is: a call that hangs runs into the case's time limit, which is
// one more line in its record.
//
// # Observations
//
// Records have lanes: the client's, the server's, and others where a case has
// more parties. Lines within a lane are in order; nothing is said about the
// order of lines in two lanes. A case takes down only what the rules settle.
// Where chance decides in grpc-go itself (which side notices a deadline first,
// in which words a lost connection is described) it looks at less, or takes the
// chance out with contexts and events of its own. It never sleeps.
//
// # Differences
//
// Where a stack is right to differ, its test says so: a [Difference] names the
// cases, what may differ in their lines, and why. One that no case needs fails
// the run. Nothing is excused by itself; [NotHTTP2] is what a stack with a wire
// of its own starts from.
//
// # Processes
//
// A panic in a handler ends its process. The cases about that start the test
// binary again, with the test that called [Run] selected; there Run carries out
// the one crash and nothing else. A test that calls Run must therefore get
// there without doing anything that two processes can't do at once.
//
// # Side effects
//
// Importing this package registers a codec named "rpctest-json" and grpc-go's
// gzip compressor, both of which can only be registered while a program
// initializes. It belongs in tests.
package rpctest
