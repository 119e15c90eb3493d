package dialer

import (
	"context"
	"net"

	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/shmconn"
)

func (c *Config) listenShm(addr string) (net.Listener, error) {
	lis, err := shmconn.Listen(addr, c.shm())
	if err != nil {
		return nil, err
	}
	return shmListener{lis}, nil
}

func (c *Config) dialShm(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := shmconn.Dial(ctx, addr, c.shm())
	if err != nil {
		return nil, err
	}
	return shmConn{conn}, nil
}

// shmListener is shmconn's listener with shmConn as its conns.
type shmListener struct{ *shmconn.Listener }

// ShmListener is the listener below, for carpgrpc, which may let another protocol than
// the byte stream be spoken on it.
func (l shmListener) ShmListener() *shmconn.Listener { return l.Listener }

// Accept waits for the next connection whose handshake has succeeded.
func (l shmListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shmConn{conn.(*shmconn.Conn)}, nil
}

// shmConn adds to shmconn's conn what names a type of gRPC's, which shmconn must
// not import.
type shmConn struct{ *shmconn.Conn }

// NetConn returns the conn below, as tls.Conn's method of this name does.
func (c shmConn) NetConn() net.Conn { return c.Conn }

// ReadOnReady is looked for by gRPC: it waits until there is something to read
// and only then takes a buffer from pool, so that an idle connection holds none.
// The buffer is the caller's; there is none when there is an error.
func (c shmConn) ReadOnReady(bufSize int, pool mem.BufferPool) (*[]byte, int, error) {
	if err := c.WaitRead(); err != nil {
		return nil, 0, err
	}
	buf := pool.Get(bufSize)
	n, err := c.Read(*buf)
	if err != nil {
		pool.Put(buf)
		return nil, 0, err
	}
	return buf, n, nil
}
