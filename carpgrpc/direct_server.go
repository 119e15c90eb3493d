package carpgrpc

import (
	"net"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/native"
	"github.com/carp-rpc/carp-go/internal/upper"
	"github.com/carp-rpc/carp-go/shmconn"
)

// directProto is the name by which the direct transport, in its first version, is agreed
// on at the handshake of shared memory. See internal/direct/PROTOCOL.md.
const directProto = "direct/1"

// offerDirect makes lis agree to the direct transport, if it is one of ours and all options
// can be applied to it. It is not offered through a listener that somebody wrapped: what the
// wrapper does to its conns would be passed by.
func (s *Server) offerDirect(lis net.Listener) {
	if s.cfg.opaque() {
		return
	}
	switch l := lis.(type) {
	case *shmconn.Listener:
		upper.Offer(l, directProto)
	case interface{ ShmListener() *shmconn.Listener }:
		upper.Offer(l.ShmListener(), directProto)
	}
}

// sharedConn is the conn of shared memory that conn is, or wraps, or nil.
func sharedConn(conn net.Conn) *shmconn.Conn {
	if w, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = w.NetConn()
	}
	c, _ := conn.(*shmconn.Conn)
	return c
}

// serveDirect serves conn natively if that was agreed on.
func (s *Server) serveDirect(conn net.Conn) bool {
	c := sharedConn(conn)
	if c == nil {
		return false
	}
	sess, proto, spins := upper.Session(c)
	if proto != directProto {
		return false
	}
	s.logAccepted(conn, Direct)
	p := &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr()}
	_, info, err := s.peerCreds.ClientHandshake(nil, "", c) //nolint:staticcheck // no handshake takes place on a local conn
	if err != nil {
		s.cfg.log().Warn("connection refused", "error", err)
		s.native.Refuse(sess, status.New(codes.PermissionDenied, err.Error()))
		return true
	}
	p.AuthInfo = info
	s.native.Serve(sess, p, spinFor(spins))
	return true
}

// nativeConfig says what the options say, for the direct transport.
func (c *serverConfig) nativeConfig() native.ServerConfig {
	n := native.ServerConfig{
		Unary:       chainUnary(c.unary, c.unaryChain),
		Stream:      chainStream(c.stream, c.streamChain),
		Stats:       c.stats,
		MaxHandlers: bound(c.maxStreams),
		MaxHeader:   bound(c.maxHeaderList),
		Unknown:     c.unknown,
		Single:      c.single,
		Codec:       c.codec,
		PerConn:     c.perConn,
		Goroutine:   c.ownGoroutine,
	}
	if c.maxRecv != nil {
		n.MaxRecv = *c.maxRecv
	}
	if c.maxSend != nil {
		n.MaxSend = *c.maxSend
	}
	if k := c.keepalive; k != nil {
		n.MaxIdle, n.MaxAge, n.MaxAgeGrace = k.MaxConnectionIdle, k.MaxConnectionAge, k.MaxConnectionAgeGrace
	}
	return n
}

// ownGoroutine tells whether calls of a method get goroutines of their own.
func (c *serverConfig) ownGoroutine(method string) bool {
	return c.allOwnGoroutines || slices.Contains(c.ownGoroutines, method)
}
