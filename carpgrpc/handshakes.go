package carpgrpc

import (
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// handshakes are the conns that grpc-go is setting up: TLS, credentials, HTTP/2's
// first frames. grpc-go's Stop and GracefulStop wait for all of them, and one whose
// peer says nothing takes until the connection timeout. end closes them instead.
type handshakes struct {
	mu    sync.Mutex
	conns map[*handshake]struct{}
	ended bool
}

// add returns conn as one that is being set up.
func (s *handshakes) add(conn net.Conn) net.Conn {
	h := &handshake{Conn: conn, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		conn.Close() // accepted while the server was being stopped
		return h
	}
	if s.conns == nil {
		s.conns = make(map[*handshake]struct{})
	}
	s.conns[h] = struct{}{}
	return h
}

func (s *handshakes) remove(h *handshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, h)
}

// end closes the conns that are being set up, and those that are added from now on.
func (s *handshakes) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for h := range s.conns {
		h.Conn.Close()
	}
}

// handshake is a conn that is being set up. It is over when the conn is closed, or
// when grpc-go takes off the deadline that it puts on each new conn: that is the
// only sign it gives. Once it is set up, grpc-go uses the conn inside, which
// unwrapping hands to it, so that a unix conn is read the way grpc-go reads unix
// conns.
type handshake struct {
	net.Conn

	set *handshakes
}

// SetDeadline implements [net.Conn].
func (h *handshake) SetDeadline(t time.Time) error {
	if t.IsZero() {
		h.set.remove(h)
	}
	return h.Conn.SetDeadline(t)
}

// Close implements [net.Conn].
func (h *handshake) Close() error {
	h.set.remove(h)
	return h.Conn.Close()
}

// unwrapping credentials see, and give to grpc-go, the conn inside a handshake.
type unwrapping struct {
	credentials.TransportCredentials

	cfg *serverConfig
}

// ServerHandshake implements [credentials.TransportCredentials].
func (u unwrapping) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if h, ok := conn.(*handshake); ok {
		conn = h.Conn
		if err := setUserTimeout(conn, u.cfg.keepalive); err != nil {
			return nil, nil, err
		}
	}
	return u.TransportCredentials.ServerHandshake(conn)
}

// Clone implements [credentials.TransportCredentials].
func (u unwrapping) Clone() credentials.TransportCredentials {
	return unwrapping{u.TransportCredentials.Clone(), u.cfg}
}
