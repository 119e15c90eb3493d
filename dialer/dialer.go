package dialer

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"

	"github.com/carp-rpc/carp-go/internal/unixsock"
)

// Listen listens on target with the default [Config].
func Listen(ctx context.Context, target string) (net.Listener, error) {
	return (*Config)(nil).Listen(ctx, target)
}

// Dial connects to target with the default [Config].
func Dial(ctx context.Context, target string) (net.Conn, error) {
	return (*Config)(nil).Dial(ctx, target)
}

// Listen listens on target. A stale socket file in the way is removed (see the
// package documentation); Close removes the listener's own socket file. ctx
// bounds Listen itself and has no effect on the listener.
//
// The listener and its conns are those of the net package for unix and tcp. For
// shm they are shmconn's, with the addition that gRPC reads from them without
// holding a buffer while it waits. Errors are of type [*Error].
func (c *Config) Listen(ctx context.Context, target string) (net.Listener, error) {
	t, err := Parse(target)
	if err != nil {
		return nil, err
	}
	lis, err := c.listen(ctx, t)
	if err != nil {
		return nil, &Error{Op: "listen", Target: target, Err: err}
	}
	return lis, nil
}

func (c *Config) listen(ctx context.Context, t Target) (net.Listener, error) {
	switch t.Network {
	case Shm:
		return c.listenShm(t.Address)
	case Unix:
		lis, err := unixsock.Listen(ctx, t.Address)
		if err != nil {
			return nil, err // a nil *unixsock.Listener is no nil net.Listener
		}
		return lis, nil
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", t.Address)
}

// Dial connects to target. ctx bounds Dial itself and has no effect on the conn.
// Errors are of type [*Error].
func (c *Config) Dial(ctx context.Context, target string) (net.Conn, error) {
	t, err := Parse(target)
	if err != nil {
		return nil, err
	}
	return c.dialAs(ctx, target, t)
}

// dialAs dials t for a caller who wrote it as target.
func (c *Config) dialAs(ctx context.Context, target string, t Target) (net.Conn, error) {
	err := t.checkDial()
	var conn net.Conn
	if err == nil {
		conn, err = c.dial(ctx, t)
	}
	if err != nil {
		return nil, &Error{Op: "dial", Target: target, Err: err, hint: dialHint(t, err)}
	}
	return conn, nil
}

func (c *Config) dial(ctx context.Context, t Target) (net.Conn, error) {
	if t.Network == Shm {
		return c.dialShm(ctx, t.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, t.Network, t.Address)
}

// dialHint says what the two everyday failures of a socket mean.
func dialHint(t Target, err error) string {
	switch {
	case t.Network == TCP:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "no socket is there; has the server started?"
	case unixsock.IsRefused(err) && unixsock.IsAbstract(t.Address):
		return "nobody listens on that name; has the server started?"
	case unixsock.IsRefused(err) && isOtherFile(t.Address):
		return "the file there is not a socket; is the path right?"
	case unixsock.IsRefused(err):
		return "nobody listens on that socket; did the server die without removing it?"
	}
	return ""
}

// isOtherFile tells that a path is one of a file or a folder, which refuse connections
// too.
func isOtherFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && (fi.Mode().IsRegular() || fi.IsDir())
}
