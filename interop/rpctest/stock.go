package rpctest

import (
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// An Address is a place where a stock grpc-go server can listen, more than
// once, and how a stock client reaches it.
type Address struct {
	// Listen listens at the address. It is called again after a restart,
	// when the listener before it has been closed.
	Listen func() (net.Listener, error)

	// Target is the target of grpc.NewClient.
	Target string

	// DialOptions and ServerOptions are added to those that a case asks
	// for. Without any, the connection uses insecure credentials.
	DialOptions   []grpc.DialOption
	ServerOptions []grpc.ServerOption
}

// Stock returns the stack of an unmodified grpc-go server and client over
// the connections of an address. The function is called once per server.
func Stock(name string, address func(tb testing.TB) Address) Stack {
	return Stack{Name: name, Start: func(tb testing.TB, cfg ServerConfig) Endpoint {
		tb.Helper()
		e := &stockEndpoint{address: address(tb), cfg: cfg}
		e.Restart(tb)
		return e
	}}
}

// Reference returns what every stack is compared with: grpc-go over TCP on
// the loopback interface.
func Reference() Stack {
	return Stock("grpc-go over tcp", func(tb testing.TB) Address {
		tb.Helper()
		// The first listener picks the port. A later one takes the same.
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("listening for the reference server: %v", err)
		}
		tb.Cleanup(func() { first.Close() })
		addr := first.Addr().String()
		var once sync.Once
		return Address{
			Target: "passthrough:///" + addr,
			Listen: func() (net.Listener, error) {
				lis := net.Listener(nil)
				once.Do(func() { lis = first })
				if lis != nil {
					return lis, nil
				}
				return net.Listen("tcp", addr)
			},
		}
	})
}

// stockEndpoint is a grpc.Server on an Address.
type stockEndpoint struct {
	address Address
	cfg     ServerConfig
	server  *grpc.Server
}

func (e *stockEndpoint) Restart(tb testing.TB) {
	tb.Helper()
	lis, err := e.address.Listen()
	if err != nil {
		tb.Fatalf("listening for %s: %v", e.address.Target, err)
	}
	srv := grpc.NewServer(append(e.cfg.grpcOptions(), e.address.ServerOptions...)...)
	e.cfg.Register(srv)
	e.server = srv
	served := make(chan struct{})
	go func() {
		defer close(served)
		// Serve fails when the listener does, and the calls of the case
		// show that. It returns nil after Stop.
		_ = srv.Serve(lis)
	}()
	tb.Cleanup(func() { srv.Stop(); <-served })
}

func (e *stockEndpoint) GracefulStop() { e.server.GracefulStop() }
func (e *stockEndpoint) Stop()         { e.server.Stop() }

func (e *stockEndpoint) Dial(tb testing.TB, cfg ClientConfig) Conn {
	tb.Helper()
	opts := cfg.grpcOptions()
	if len(e.address.DialOptions) == 0 {
		opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	cc, err := grpc.NewClient(e.address.Target, append(opts, e.address.DialOptions...)...)
	if err != nil {
		tb.Fatalf("grpc.NewClient(%q): %v", e.address.Target, err)
	}
	return cc
}

// grpcOptions translates the settings for grpc.NewServer.
func (cfg ServerConfig) grpcOptions() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(cfg.UnaryInterceptors...),
		grpc.ChainStreamInterceptor(cfg.StreamInterceptors...),
	}
	for _, h := range cfg.StatsHandlers {
		opts = append(opts, grpc.StatsHandler(h))
	}
	if cfg.UnknownService != nil {
		opts = append(opts, grpc.UnknownServiceHandler(cfg.UnknownService))
	}
	if cfg.MaxRecvMsgSize > 0 {
		opts = append(opts, grpc.MaxRecvMsgSize(cfg.MaxRecvMsgSize))
	}
	if cfg.MaxSendMsgSize > 0 {
		opts = append(opts, grpc.MaxSendMsgSize(cfg.MaxSendMsgSize))
	}
	if cfg.MaxHeaderListSize > 0 {
		opts = append(opts, grpc.MaxHeaderListSize(cfg.MaxHeaderListSize))
	}
	if cfg.MaxConcurrentStreams > 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(cfg.MaxConcurrentStreams))
	}
	return opts
}

// grpcOptions translates the settings for grpc.NewClient.
func (cfg ClientConfig) grpcOptions() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(cfg.UnaryInterceptors...),
		grpc.WithChainStreamInterceptor(cfg.StreamInterceptors...),
		grpc.WithDefaultCallOptions(cfg.CallOptions...),
	}
	for _, h := range cfg.StatsHandlers {
		opts = append(opts, grpc.WithStatsHandler(h))
	}
	if cfg.PerRPCCredentials != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(cfg.PerRPCCredentials))
	}
	if cfg.UserAgent != "" {
		opts = append(opts, grpc.WithUserAgent(cfg.UserAgent))
	}
	if cfg.Authority != "" {
		opts = append(opts, grpc.WithAuthority(cfg.Authority))
	}
	if cfg.MaxHeaderListSize > 0 {
		opts = append(opts, grpc.WithMaxHeaderListSize(cfg.MaxHeaderListSize))
	}
	return opts
}
