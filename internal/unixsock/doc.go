// Package unixsock listens on unix socket addresses the way the rest of the
// module needs it: with the kernel's length limit checked up front, stale
// socket files cleared safely, and only the listener's own file removed at
// Close. It serves dialer's unix targets and shmconn's rendezvous alike.
//
// # Addresses
//
// An address is a path in the file system, absolute or relative, or "@name"
// for Linux's abstract namespace. [Check] says what is wrong with one.
//
// # Stale socket files
//
// A server that was killed leaves its socket file behind, and the next bind on
// that path fails. [Listen] removes such a file, and nothing else:
//
//   - A file that is not a socket is never removed.
//   - A socket is removed only after a connect to it was refused, which means
//     that nobody listens there, and only while it is still the same file.
//   - All Listen calls for one path take turns by a lock file beside the socket,
//     from before the probe until after listen(2). Without it, one process could
//     find another's socket between its bind and its listen, when a connect is
//     refused too, and remove a server that is about to live.
//
// Programs that don't take the lock have that same short window. A refused
// socket file is therefore given a moment ([settle]) before it counts as stale.
package unixsock
