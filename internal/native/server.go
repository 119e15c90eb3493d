package native

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// ServerConfig is what a server is made of. The zero value is a server without services and
// with grpc-go's defaults.
type ServerConfig struct {
	Unary  grpc.UnaryServerInterceptor  // or nil
	Stream grpc.StreamServerInterceptor // or nil
	Stats  []stats.Handler

	MaxRecv     int // bytes; 0 is 4 MiB
	MaxSend     int // bytes; 0 is math.MaxInt32
	MaxHandlers int // that run at a time for one connection; 0 is no bound but direct's

	Unknown grpc.StreamHandler // of methods that nobody registered; nil refuses them
	Codec   encoding.CodecV2   // of all calls, whatever they ask for; or nil

	// Goroutine tells which methods are never run on the goroutine that reads. Nil is
	// none.
	Goroutine func(method string) bool

	// Spin is how long an idle connection spins before it sleeps.
	Spin time.Duration
}

const (
	defaultMaxRecv = 4 << 20
	defaultMaxSend = math.MaxInt32
)

// Server serves calls on connections of the direct transport. Register comes first; the
// other methods may then be called from many goroutines at once.
type Server struct {
	cfg     ServerConfig
	methods map[string]*method // by full name
	known   map[string]bool    // service names
	unknown *method

	mu       sync.Mutex
	conns    map[*direct.Conn]struct{}
	stopping bool
	calls    sync.WaitGroup // handlers
}

// method is one that can be called.
type method struct {
	direct.Method

	server *Server
	name   string // "/Service/Method"
	impl   any
	unary  *grpc.MethodDesc // or stream is set
	stream *grpc.StreamDesc
}

// NewServer makes a server.
func NewServer(cfg ServerConfig) *Server {
	if cfg.MaxRecv == 0 {
		cfg.MaxRecv = defaultMaxRecv
	}
	if cfg.MaxSend == 0 {
		cfg.MaxSend = defaultMaxSend
	}
	s := &Server{cfg: cfg, methods: map[string]*method{}, known: map[string]bool{}, conns: map[*direct.Conn]struct{}{}}
	s.unknown = s.newMethod("", nil)
	if cfg.Unknown != nil {
		s.unknown.stream = &grpc.StreamDesc{Handler: cfg.Unknown, ClientStreams: true, ServerStreams: true}
	}
	return s
}

// Register adds a service. The caller has checked that it fits and is new.
func (s *Server) Register(desc *grpc.ServiceDesc, impl any) {
	s.known[desc.ServiceName] = true
	for i := range desc.Methods {
		d := &desc.Methods[i]
		m := s.newMethod("/"+desc.ServiceName+"/"+d.MethodName, impl)
		m.unary, m.Unary = d, true
		s.methods[m.name] = m
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		m := s.newMethod("/"+desc.ServiceName+"/"+d.StreamName, impl)
		m.stream = d
		s.methods[m.name] = m
	}
}

func (s *Server) newMethod(name string, impl any) *method {
	m := &method{server: s, name: name, impl: impl}
	m.Serve = m.serve
	m.MaxRecv = s.cfg.MaxRecv
	m.Goroutine = s.cfg.Goroutine != nil && s.cfg.Goroutine(name)
	return m
}

// Serve serves a connection, which is the server's from here on. It returns at once.
func (s *Server) Serve(link direct.Link, p *peer.Peer) {
	ctx := connBegun(peer.NewContext(context.Background(), p), p, s.cfg.Stats, false)
	conn, err := direct.New(link, direct.Options{
		Spin:        s.cfg.Spin,
		Handler:     &connHandler{s, ctx, p},
		MaxHandlers: s.cfg.MaxHandlers,
	})
	if err != nil { // the link was closed already
		link.Close()
		connEnded(ctx, s.cfg.Stats, false)
		return
	}
	if !s.add(conn) {
		conn.Close()
	}
	go func() {
		<-conn.Gone()
		s.remove(conn)
		connEnded(ctx, s.cfg.Stats, false)
	}()
}

func (s *Server) add(conn *direct.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *Server) remove(conn *direct.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// stop takes no connections any more, and returns those there are.
func (s *Server) stop() []*direct.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	return slices.Collect(maps.Keys(s.conns))
}

// GracefulStop refuses new calls, waits for those under way and ends the connections.
// A Stop meanwhile cuts it short.
func (s *Server) GracefulStop() {
	conns := s.stop()
	for _, c := range conns {
		c.GoAway()
	}
	for _, c := range conns {
		c.Drained()
		c.Close()
		<-c.Gone()
	}
}

// Stop ends all connections, which cancels the calls under way. With wait, it returns when
// their handlers have.
func (s *Server) Stop(wait bool) {
	for _, c := range s.stop() {
		c.Close()
		<-c.Gone()
	}
	if wait {
		s.calls.Wait()
	}
}

// connHandler finds the methods for one connection.
type connHandler struct {
	server *Server
	ctx    context.Context
	peer   *peer.Peer
}

// Method implements [direct.Handler].
func (h *connHandler) Method(r *direct.Request) *direct.Method {
	if m, ok := h.server.methods[r.Method]; ok {
		return &m.Method
	}
	return &h.server.unknown.Method
}

// whyNot is the status of a call that nobody serves, or nil.
func (m *method) whyNot(name string) *status.Status {
	if m.name != "" { // registered
		return nil
	}
	s := m.server
	path, ok := strings.CutPrefix(name, "/")
	i := strings.LastIndex(path, "/")
	if !ok || i < 0 {
		return status.New(codes.Unimplemented, fmt.Sprintf("malformed method name: %q", name))
	}
	if m.stream != nil {
		return nil // for the handler of unknown methods
	}
	service, method := path[:i], path[i+1:]
	if !s.known[service] {
		return status.New(codes.Unimplemented, fmt.Sprintf("unknown service %v", service))
	}
	return status.New(codes.Unimplemented, fmt.Sprintf("unknown method %v for service %v", method, service))
}
