package carpgrpc

import (
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/native"
	"github.com/carp-rpc/carp-go/internal/shm"
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

// directSession is what conn stands on, if the direct transport was agreed on.
func directSession(conn net.Conn) (*shm.Session, *shmconn.Conn) {
	if w, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = w.NetConn()
	}
	c, ok := conn.(*shmconn.Conn)
	if !ok {
		return nil, nil
	}
	sess, proto := upper.Session(c)
	if proto != directProto {
		return nil, nil
	}
	return sess, c
}

// serveDirect serves conn natively if that was agreed on.
func (s *Server) serveDirect(conn net.Conn) bool {
	sess, c := directSession(conn)
	if sess == nil {
		return false
	}
	p := &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr()}
	_, info, err := s.peerCreds.ClientHandshake(nil, "", c) //nolint:staticcheck // no handshake takes place on a local conn
	if err != nil {
		s.cfg.log().Warn("connection refused", "error", err)
		native.Refuse(sess, status.New(codes.PermissionDenied, err.Error()))
		return true
	}
	p.AuthInfo = info
	s.native.Serve(sess, p)
	return true
}

// nativeConfig says what the options say, for the direct transport.
func (c *serverConfig) nativeConfig() native.ServerConfig {
	n := native.ServerConfig{
		Unary:   chainUnary(c.unary, c.unaryChain),
		Stream:  chainStream(c.stream, c.streamChain),
		Stats:   c.stats,
		Unknown: c.unknown,
		Codec:   c.codec,
		Spin:    native.DefaultSpin,
	}
	if c.maxRecv != nil {
		n.MaxRecv = *c.maxRecv
	}
	if c.maxSend != nil {
		n.MaxSend = *c.maxSend
	}
	if c.maxStreams != nil {
		n.MaxHandlers = int(min(*c.maxStreams, 1<<30))
	}
	return n
}
