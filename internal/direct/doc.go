// Package direct is the direct transport: gRPC's calls as frames in shared memory,
// without HTTP/2. It knows streams, messages, metadata and how a call ends; what they
// mean is carpgrpc's.
//
// PROTOCOL.md beside this file is the wire.
//
// # Who reads
//
// The goroutine that waits for something reads the ring itself and finds its reply there,
// with no other goroutine in between; see [Conn] and lead.go. The server's side does the
// same: a worker reads requests and runs quick handlers in line. A worker that has only
// handed one caller its reply leaves, so that this one reads for itself again.
//
// # Rules
//
//   - At every instant one party reads, or nobody does and the peer rings (lead.go). Folder
//     model runs the code in every order of its steps to show that.
//   - Who reads never waits for room to send: control frames that don't fit are kept in
//     bounded memory and written by the next who can (write.go).
//   - Only a worker, with no user's frame below it on its stack, runs handlers in line, and
//     it lends the lead to anybody meanwhile. So progress never hangs on a handler.
//   - Nobody but this package sees ring memory: messages and blocks are copied out of it.
//
// # Locks
//
// From the outside in: the lead, Stream.mu, then table.mu or writing.mu or pool.mu. None
// of the last three is held while another is taken.
package direct
