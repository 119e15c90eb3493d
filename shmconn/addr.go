package shmconn

import "net"

// Addr is the address of a shared-memory connection: that of the unix socket
// over which the two processes met.
type Addr struct {
	// Name is a path in the file system, or "@name" for the abstract
	// namespace. It is empty for the end that dialled, as with unix sockets.
	Name string
}

var _ net.Addr = Addr{}

// Network is "unix": it is what gRPC's credentials/local and others look for to
// know that a connection can't leave the machine.
func (a Addr) Network() string { return "unix" }

// String is Name behind "shm:".
func (a Addr) String() string { return "shm:" + a.Name }
