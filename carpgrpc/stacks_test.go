package carpgrpc_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/interop/rpctest"
)

var serial atomic.Int64

// targets returns one fresh target of each kind that this system has, by name.
func targets(tb testing.TB) map[string]string {
	tb.Helper()
	dir := tb.TempDir()
	m := map[string]string{
		"unix": "unix://" + filepath.Join(dir, "u"),
		"tcp":  "tcp://127.0.0.1:0",
	}
	if runtime.GOOS == "linux" {
		m["shm"] = "shm://" + filepath.Join(dir, "s")
		m["unix-abstract"] = fmt.Sprintf("unix-abstract:carpgrpc-%d-%d", os.Getpid(), serial.Add(1))
	}
	return m
}

func listen(tb testing.TB, target string) net.Listener {
	tb.Helper()
	lis, err := dialer.Listen(tb.Context(), target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { lis.Close() })
	return lis
}

// start serves srv on lis until the test ends.
func start(tb testing.TB, srv *carpgrpc.Server, lis net.Listener) {
	tb.Helper()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	tb.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			tb.Errorf("Serve = %v", err)
		}
	})
}

func newClient(tb testing.TB, target string, opts ...carpgrpc.ClientOption) *carpgrpc.ClientConn {
	tb.Helper()
	opts = append([]carpgrpc.ClientOption{carpgrpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)
	cc, err := carpgrpc.NewClient(target, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { cc.Close() })
	return cc
}

// stack is a Server and ClientConns over one kind of target, for the differential
// suite. An option of grpc-go that changes nothing makes it an opaque one.
func stack(kind string, opaque bool) rpctest.Stack {
	name := "carpgrpc over " + kind
	if opaque {
		name += ", opaque options"
	}
	return rpctest.Stack{Name: name, Start: func(tb testing.TB, cfg rpctest.ServerConfig) rpctest.Endpoint {
		tb.Helper()
		e := &endpoint{cfg: cfg, opaque: opaque, target: targets(tb)[kind]}
		e.Restart(tb)
		return e
	}}
}

type endpoint struct {
	cfg    rpctest.ServerConfig
	opaque bool
	target string
	srv    *carpgrpc.Server
}

func (e *endpoint) Restart(tb testing.TB) {
	tb.Helper()
	lis := listen(tb, e.target)
	e.target = dialer.TargetOf(lis.Addr()) // with the port that tcp was given
	e.srv = carpgrpc.NewServer(e.options()...)
	e.cfg.Register(e.srv)
	start(tb, e.srv, lis)
}

func (e *endpoint) options() []carpgrpc.ServerOption {
	opts := []carpgrpc.ServerOption{
		carpgrpc.Creds(insecure.NewCredentials()),
		carpgrpc.ChainUnaryInterceptor(e.cfg.UnaryInterceptors...),
		carpgrpc.ChainStreamInterceptor(e.cfg.StreamInterceptors...),
	}
	for _, h := range e.cfg.StatsHandlers {
		opts = append(opts, carpgrpc.StatsHandler(h))
	}
	if e.cfg.UnknownService != nil {
		opts = append(opts, carpgrpc.UnknownServiceHandler(e.cfg.UnknownService))
	}
	if e.cfg.MaxRecvMsgSize > 0 {
		opts = append(opts, carpgrpc.MaxRecvMsgSize(e.cfg.MaxRecvMsgSize))
	}
	if e.cfg.MaxSendMsgSize > 0 {
		opts = append(opts, carpgrpc.MaxSendMsgSize(e.cfg.MaxSendMsgSize))
	}
	if e.cfg.MaxHeaderListSize > 0 {
		opts = append(opts, carpgrpc.MaxHeaderListSize(e.cfg.MaxHeaderListSize))
	}
	if e.cfg.MaxConcurrentStreams > 0 {
		opts = append(opts, carpgrpc.MaxConcurrentStreams(e.cfg.MaxConcurrentStreams))
	}
	if e.opaque {
		opts = append(opts, carpgrpc.WithServerOptions(grpc.ChainUnaryInterceptor()))
	}
	return opts
}

func (e *endpoint) GracefulStop() { e.srv.GracefulStop() }
func (e *endpoint) Stop()         { e.srv.Stop() }

func (e *endpoint) Dial(tb testing.TB, cfg rpctest.ClientConfig) rpctest.Conn {
	tb.Helper()
	opts := []carpgrpc.ClientOption{
		carpgrpc.WithChainUnaryInterceptor(cfg.UnaryInterceptors...),
		carpgrpc.WithChainStreamInterceptor(cfg.StreamInterceptors...),
		carpgrpc.WithDefaultCallOptions(cfg.CallOptions...),
		carpgrpc.WithAuthority(cfg.Authority),
		carpgrpc.WithUserAgent(cfg.UserAgent),
	}
	for _, h := range cfg.StatsHandlers {
		opts = append(opts, carpgrpc.WithStatsHandler(h))
	}
	if cfg.MaxHeaderListSize > 0 {
		opts = append(opts, carpgrpc.WithMaxHeaderListSize(cfg.MaxHeaderListSize))
	}
	if cfg.PerRPCCredentials != nil {
		opts = append(opts, carpgrpc.WithPerRPCCredentials(cfg.PerRPCCredentials))
	}
	if e.opaque {
		opts = append(opts, carpgrpc.WithDialOptions(grpc.WithChainUnaryInterceptor()))
	}
	cc, err := carpgrpc.NewClient(e.target, append(opts, carpgrpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		tb.Fatal(err)
	}
	return cc
}
