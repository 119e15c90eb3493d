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
// a side that sleeps, and tells when a process is gone. What goes over it, and the
// memory's layout, are in internal/shm/PROTOCOL.md.
//
// # Memory
//
// A segment is an anonymous file (memfd), sealed so that neither side can shrink it; or,
// where that can't be had, a System V segment whose id is removed before anybody is
// told of it ([Config.Backings], [Conn.Info]). It has no name, so nothing is left
// behind, however the processes end.
//
// Its size is that of both rings and a page ([Config.RingSize]), but memory is taken
// only for what is under way at a time: a ring that runs empty starts over. What a burst
// took is given back one to two seconds after the connection has become idle, but
// for the first 20 KiB or so of each ring.
//
// # Waiting
//
// A Read that finds nothing, and a Write that finds the ring full, sleeps until the peer
// rings. A sleeping goroutine takes no CPU and no thread: an idle connection costs one
// file descriptor and its memory, and no goroutine but the caller's.
//
// [Config.Wait] can make it spin for a moment first. Spinning is bounded: at most half of
// GOMAXPROCS goroutines of the process do so at a time; a connection on which it
// was in vain goes on to do so for a hundredth of the time at most; nobody spins while the
// process's cgroup is being throttled. Where both processes have one CPU, the same, they
// nap on a futex in place of it.
//
// # Deadlines and Close
//
// Deadlines, Close and concurrent use are those of any net.Conn, and
// golang.org/x/net/nettest holds the package to it. The errors that readers
// compare with are reachable by [errors.Is]: [io.EOF] after a clean close,
// [net.ErrClosed] after our own, [os.ErrDeadlineExceeded], ECONNRESET if the peer's process
// went away without closing, EPIPE for a Write that nobody will read.
//
// # Unlike net.UnixConn
//
//   - The end of a process that didn't close is ECONNRESET, not io.EOF. A Write
//     notices it when it has to wake the peer or to wait for room; the last ringful of
//     bytes may be written without an error, as into a socket's buffer.
//   - A Dial waits until the listener's process calls Accept, which begins the
//     handshakes. A socket connects without.
//   - What was written before Close is always delivered, even if the closing end had
//     unread bytes; a socket resets the connection then.
//   - There is no SyscallConn and no File: a connection is memory and a socket that only
//     rings. There are no out-of-band data, no descriptors to pass and no buffer
//     sizes to set but [Config.RingSize].
//   - net.Buffers are written one by one. They cost no system call each.
//   - Addresses are of type [Addr].
//
// # Restarts
//
// [Listener.File], [FileListener] and [Listener.Drain] hand a listener over to another
// process without refusing a dialler; [InheritedFiles] also takes the sockets that systemd
// passes.
//
// # Trust
//
// By default both processes must belong to the same user, or the other one to root
// ([Config.Allow]). A peer may write anything into the segment at any time. What is read
// from it is checked before it is used, and a peer that breaks the protocol loses
// its own connection, with an error that wraps [ErrCorrupt]; it can't crash or
// block this process. A peer that wakes this end without a reason is looked at once in
// a millisecond. Diallers that say nothing delay no others ([Config.MaxHandshakes]).
//
// # Platforms
//
// Linux, on every processor that Go supports there. Elsewhere everything returns an error
// that wraps [errors.ErrUnsupported].
package shmconn
