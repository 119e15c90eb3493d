// Package leak fails a test that leaves something behind.
//
// [Check] is the first call of every test that opens a connection, listens, or
// starts goroutines:
//
//	func TestDial(t *testing.T) {
//		leak.Check(t)
//		…
//	}
//
// # What is looked at
//
//   - goroutines, except those of the testing package and the runtime;
//   - open file descriptors, told apart by what they refer to;
//   - mappings of memory files (memfd) and of System V segments;
//   - System V segments that this process created and did not remove;
//   - the entries of the directories given to Check.
//
// Only goroutines and directories can be seen on every platform; the rest needs
// Linux's /proc.
//
// What is there when Check is called may stay. Everything else has a minute
// to go away after the test's own cleanups have run, because closing is rarely
// instant; what remains then is reported by name: the goroutine's stack, the
// descriptor's link target, the mapped file and its size, the segment's id.
//
// # Tests that run in parallel
//
// Descriptors and mappings belong to the process and can't be told apart by
// test. Tests whose lifetimes overlap are therefore judged together, when the
// last of them ends, against what was there when the first began; a report then
// names all of them. Subtests are no such overlap: they are judged on their own,
// for the test around them stands still meanwhile.
//
// A test that runs beside checked ones without calling Check itself can be
// reported in their place. So in a package with parallel tests, all that open
// something call Check.
package leak
