package carpgrpc

import (
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/carp-rpc/carp-go/internal/native"
)

// Server serves gRPC services on any number of listeners. Generated code takes it
// for a grpc.Server: it is a [grpc.ServiceRegistrar] that also has what reflection
// asks for. Its methods may be called from several goroutines.
type Server struct {
	cfg       *serverConfig
	http      *grpc.Server
	native    *native.Server
	peerCreds credentials.TransportCredentials // say who is at the end of a local conn

	// pending holds the connections that grpc-go is setting up.
	pending handshakes
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer makes a server without services. It panics if an option that may be
// given once is given twice.
func NewServer(opts ...ServerOption) *Server {
	cfg := newServerConfig(opts)
	return &Server{
		cfg:       cfg,
		http:      grpc.NewServer(cfg.grpcOptions()...),
		native:    native.NewServer(cfg.nativeConfig()),
		peerCreds: cfg.peerCredentials(),
	}
}

// RegisterService registers a service and its implementation; generated code calls
// it. As in grpc-go, a service registered twice, after Serve, or with an
// implementation of the wrong type ends the process.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.http.RegisterService(desc, impl)
	s.native.Register(desc, impl)
}

// GetServiceInfo returns what is registered, by service name.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo { return s.http.GetServiceInfo() }

// Serve accepts connections on lis and serves them until the server is stopped,
// when it returns nil, or lis fails. It closes lis before it returns. It may be
// called for several listeners. A listener that is neither unix nor shm is refused
// with an error that wraps dialer.ErrNoCredentials if the server has no [Creds].
//
// Listeners of package dialer are what is meant; any other works, if its conns show
// whose they are (see dialer.Credentials).
func (s *Server) Serve(lis net.Listener) error {
	if err := s.cfg.checkListener(lis); err != nil {
		lis.Close()
		return err
	}
	s.offerDirect(lis)
	s.cfg.log().Debug("serving", "network", lis.Addr().Network(), "addr", lis.Addr().String())
	return s.http.Serve(&routedListener{Listener: lis, server: s})
}

// GracefulStop closes the listeners, refuses new calls and returns when the last
// call in flight has ended. Connections on which no call can be made yet are
// closed. A Stop during GracefulStop cuts it short.
func (s *Server) GracefulStop() {
	s.pending.end()
	var native sync.WaitGroup
	native.Go(s.native.GracefulStop)
	s.http.GracefulStop()
	native.Wait()
}

// Stop closes listeners and connections and cancels the calls in flight, whose
// clients see Unavailable. It waits for their handlers only with [WaitForHandlers].
func (s *Server) Stop() {
	s.pending.end()
	s.native.Stop(s.cfg.waitForHandlers)
	s.http.Stop()
}

// route decides which transport serves an accepted conn; see transport.go. It
// returns the conn for grpc-go.
func (s *Server) route(conn net.Conn) net.Conn {
	s.logAccepted(conn, HTTP2)
	if s.cfg.opaque() {
		// Options of grpc-go's own may look at the conn: they get it bare.
		return conn
	}
	return s.pending.add(conn)
}

func (s *Server) logAccepted(conn net.Conn, t Transport) {
	s.cfg.log().Debug("connection accepted", "transport", t,
		"network", conn.LocalAddr().Network(), "addr", conn.LocalAddr().String(), "peer", conn.RemoteAddr().String())
}

// routedListener shows each accepted conn to route.
type routedListener struct {
	net.Listener

	server *Server
}

// Accept implements [net.Listener].
func (l *routedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.server.serveDirect(conn) {
			return l.server.route(conn), nil
		}
	}
}
