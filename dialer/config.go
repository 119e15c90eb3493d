package dialer

import (
	"log/slog"

	"google.golang.org/grpc/credentials"

	"github.com/carp-rpc/carp-go/shmconn"
)

// PeerCred is the process at the other end of a unix or shm connection, as the
// kernel recorded it.
type PeerCred = shmconn.PeerCred

// Config holds what can be varied. A nil *Config and the zero value are the
// defaults. A Config must not be changed once it is in use; it may be shared.
type Config struct {
	// Shm configures shm targets. Nil is shmconn's default. Where its Allow or
	// Logger is nil, the one below is used.
	Shm *shmconn.Config

	// Allow decides about the process at the other end of a unix or shm
	// connection: an error refuses it, with the error's text. Servers apply it
	// to clients and clients to servers; it is called from several goroutines.
	// Nil is [shmconn.SameUser]: the user of this process, or root.
	//
	// Where the system does not tell who a unix socket's peer is (anywhere but
	// on Linux and macOS), nil leaves the decision to the permissions of the
	// socket file, and a function of one's own refuses every peer, with an
	// error that wraps [errors.ErrUnsupported].
	Allow func(PeerCred) error

	// TCP secures the connections that are neither unix nor shm, tcp ones
	// above all: credentials.NewTLS(…), or insecure.NewCredentials() for plain
	// text on purpose. Nil refuses them. It concerns gRPC only: the conns of
	// Listen and Dial are bare.
	TCP credentials.TransportCredentials

	// Logger gets the peers that [Config.Credentials] refused (level Warn), and
	// what shmconn has to tell. Nil drops it.
	Logger *slog.Logger
}

// values returns a copy of c with defaults for what would otherwise be nil. Allow
// stays nil: the absence of a rule has a meaning of its own.
func (c *Config) values() Config {
	var v Config
	if c != nil {
		v = *c
	}
	if v.Logger == nil {
		v.Logger = slog.New(slog.DiscardHandler)
	}
	return v
}

// shm is the configuration for shmconn.
func (c *Config) shm() *shmconn.Config {
	if c == nil {
		return nil
	}
	var s shmconn.Config
	if c.Shm != nil {
		s = *c.Shm
	}
	if s.Allow == nil {
		s.Allow = c.Allow
	}
	if s.Logger == nil {
		s.Logger = c.Logger
	}
	return &s
}
