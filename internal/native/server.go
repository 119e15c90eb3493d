package native

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
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
	MaxHeader   int // bytes of a request's header list; 0 is no bound but direct's

	Unknown grpc.StreamHandler // of methods that nobody registered; nil refuses them
	// Single tells which methods that Unknown takes have one message each way: they can be
	// run on the goroutine that reads, as registered ones can. It is called by that
	// goroutine. Nil is none.
	Single func(method string) bool
	Codec  encoding.CodecV2 // of all calls, whatever they ask for; or nil

	// PerConn makes the context of a connection that is served; nil leaves it.
	PerConn func(context.Context) context.Context

	// Goroutine tells which methods are never run on the goroutine that reads. Nil is
	// none.
	Goroutine func(method string) bool

	// MaxIdle, MaxAge and MaxAgeGrace end connections as those of
	// keepalive.ServerParameters do. 0 is never.
	MaxIdle, MaxAge, MaxAgeGrace time.Duration
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
	singles singles // what Unknown takes, too

	conns conns
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
	s := &Server{cfg: cfg, methods: map[string]*method{}, known: map[string]bool{}}
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

// whyNot is the status of a call that nobody serves, or nil. Its name is well-formed.
func (m *method) whyNot(name string) *status.Status {
	if m.name != "" || m.stream != nil { // it is registered, or the handler of unknown methods takes it
		return nil
	}
	i := strings.LastIndex(name, "/")
	service, method := name[1:i], name[i+1:]
	if !m.server.known[service] {
		return status.New(codes.Unimplemented, fmt.Sprintf("unknown service %v", service))
	}
	return status.New(codes.Unimplemented, fmt.Sprintf("unknown method %v for service %v", method, service))
}

// malformedName is the status of a call of a method without the name of a service, or nil.
func malformedName(name string) *status.Status {
	if strings.LastIndex(name, "/") > 0 && name[0] == '/' {
		return nil
	}
	return status.New(codes.Unimplemented, fmt.Sprintf("malformed method name: %q", name))
}
