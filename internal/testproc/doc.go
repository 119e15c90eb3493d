// Package testproc runs a test's other process.
//
// A claim about two processes needs two processes. [Start] runs the test binary
// again in the role of a named child, so that a test and its child are compiled
// from one package and can share its types:
//
//	func TestMain(m *testing.M) {
//		testproc.Main(m, map[string]testproc.Role{"echo": echo})
//	}
//
//	func echo(c *testproc.Child) error {
//		lis, err := net.Listen("unix", c.Args[0])
//		if err != nil {
//			return err
//		}
//		c.Ready("listening")
//		return serve(lis)
//	}
//
//	func TestEcho(t *testing.T) {
//		child := testproc.Start(t, "echo", path)
//		child.ReadLine() // "listening": the socket is there, no need to sleep
//		…
//		child.Kill() // and see what the caller gets
//	}
//
// # Talking
//
// Parent and child talk in lines over the child's standard input and output.
// What the child writes to standard error appears in the test's log. A report of
// the race detector on it fails the test, for the child's exit code, which also
// carries it, is lost when the child is killed.
//
// # Lifetime
//
// A child never outlives its test: it is killed and reaped in the test's
// cleanup. Nor does it outlive the test's process, however that ends: when its
// standard input reaches its end the role has a short grace to return, after
// which the child exits.
package testproc
