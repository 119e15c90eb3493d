// Package upper is the back door between shmconn and carpgrpc: how another protocol
// than the byte stream comes to use the memory of a shared-memory connection.
//
// The functions are shmconn's, which sets them when it is initialised. They are here
// because shmconn's users have no use for them.
package upper

import (
	"context"
	"net"

	"github.com/carp-rpc/carp-go/internal/shm"
)

var (
	// Offer makes a *shmconn.Listener agree to protocols, before its first Accept. Only
	// who knows what to do with such a connection may call it.
	Offer func(lis net.Listener, protos ...string)

	// Dial is shmconn.Dial with a wish for one of protos. cfg is a *shmconn.Config.
	Dial func(ctx context.Context, addr string, cfg any, protos ...string) (net.Conn, error)

	// Session is what a *shmconn.Conn stands on, and the protocol that was agreed on: ""
	// if it is the byte stream, which the conn is there for. Otherwise the session is
	// the caller's from here on and the conn of no use. spins says that this end may
	// spin while it waits: it is false for PowerFirst.
	Session func(conn net.Conn) (s *shm.Session, proto string, spins bool)
)

// DialTarget is Dial for a shm target of package dialer, which sets it. cfg is a
// *dialer.Config.
var DialTarget func(ctx context.Context, cfg any, target string, protos ...string) (net.Conn, error)
