// Package shmconn is a [net.Conn] and a [net.Listener] over shared memory, for two
// processes on one machine.
//
//	l, err := shmconn.Listen("/run/app.sock", nil) // in one process
//	conn, err := l.Accept()
//
//	conn, err := shmconn.Dial(ctx, "/run/app.sock", nil) // in the other
//
// The two meet at a unix socket. There the listener checks who dials, makes a
// segment of memory with one ring of bytes for each direction, and passes it
// over. From then on bytes travel through memory; the socket carries only wake-ups for
// a side that sleeps, and tells when a process is gone.
//
// # Memory
//
// A segment is an anonymous file (memfd), sealed so that neither side can shrink it; or,
// where that can't be had, a System V segment whose id is removed before anybody is
// told of it ([Config.Backings], [Conn.Info]). It has no name, so nothing is left
// behind, however the processes end. Its size is that of both rings and a page; memory
// is taken as it is first used.
//
// # Waiting
//
// A Read that finds nothing, and a Write that finds the ring full, sleeps until the peer
// rings. A sleeping goroutine takes no CPU and no thread: an idle connection costs one
// file descriptor and its memory, and no goroutine but the caller's. [Config.Wait] can make it spin for a
// moment first.
//
// # Deadlines and Close
//
// Deadlines, Close and concurrent use are those of any net.Conn, and
// golang.org/x/net/nettest holds the package to it. The errors that readers
// compare with are reachable by [errors.Is]: [io.EOF] after a clean close,
// [net.ErrClosed] after our own, [os.ErrDeadlineExceeded], ECONNRESET if the peer's process
// went away without closing, EPIPE for a Write that nobody will read.
//
// # Trust
//
// By default both processes must belong to the same user, or the other one to root
// ([Config.Allow]). A peer may write anything into the segment at any time. What is read
// from it is checked before it is used, and a peer that breaks the protocol loses
// its own connection, with an error that wraps [ErrCorrupt]; it can't crash or
// block this process.
//
// # Platforms
//
// Linux, on every processor that Go supports there. Elsewhere everything returns an error
// that wraps [errors.ErrUnsupported].
package shmconn
