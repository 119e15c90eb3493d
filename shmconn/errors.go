package shmconn

import (
	"errors"
	"io"
	"net"

	"github.com/carp-rpc/carp-go/internal/shm"
)

var (
	// ErrRefused is wrapped by the error of Dial when the listener turned us
	// away, or when we turned it away: another user, another version, no shared
	// memory that both can use.
	ErrRefused = shm.ErrRefused

	// ErrNotShm is wrapped by the error of Dial when what listens at the address
	// speaks another protocol.
	ErrNotShm = shm.ErrNotShm

	// ErrCorrupt is wrapped by the errors of a connection whose peer broke the
	// protocol. The connection is closed.
	ErrCorrupt = shm.ErrCorrupt
)

// opError puts an error of c into the form that net's connections use. io.EOF
// stays bare, because readers compare with it.
func (c *Conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// addrError is the error of an operation that has an address but no connection.
// An OpError of the unix socket below gives its cause only: its address is ours.
func addrError(op, addr string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) && inner.Op != "read" && inner.Op != "write" {
		err = inner.Err
	}
	a := Addr{Name: addr}
	return &net.OpError{Op: op, Net: a.Network(), Addr: a, Err: err}
}
