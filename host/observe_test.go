package host_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// seen collects what a host tells.
type seen struct {
	mu    sync.Mutex
	names []string
	added chan struct{}
}

func newSeen() *seen { return &seen{added: make(chan struct{}, 1)} }

func (s *seen) add(name string) {
	s.mu.Lock()
	s.names = append(s.names, name)
	s.mu.Unlock()
	select {
	case s.added <- struct{}{}:
	default:
	}
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

// wait waits until name has been seen.
func (s *seen) wait(tb testing.TB, name string) {
	tb.Helper()
	ctx := testContext(tb)
	for !slices.Contains(s.all(), name) {
		select {
		case <-s.added:
		case <-ctx.Done():
			tb.Fatalf("%q has not been seen, but %q", name, s.all())
		}
	}
}

// wires runs a test with an exporter and a caller, on every way that a call can
// take.
func wires(t *testing.T, opts []host.Option, test func(t *testing.T, exporter, caller *host.Host)) {
	t.Run("local", func(t *testing.T) {
		leak.Check(t)
		h := newHost(t, "exporter", opts...)
		test(t, h, h)
	})
	for _, transport := range transports() {
		for _, forward := range []bool{true, false} {
			name := transport + "/back"
			if forward {
				name = transport + "/forward"
			}
			t.Run(name, func(t *testing.T) {
				leak.Check(t)
				exporter, caller := newHost(t, "exporter", opts...), newHost(t, "caller")
				if forward {
					connect(t, caller, listen(t, exporter, transport))
				} else {
					connect(t, exporter, listen(t, caller, transport))
				}
				test(t, exporter, caller)
			})
		}
	}
}

// A function and a handler of a generated service learn who calls, read and send
// metadata, and interceptors are run around them, on every wire.
func TestInterceptorsAndCaller(t *testing.T) {
	calls := newSeen()
	type key struct{}
	intercept := func(ctx context.Context, info *host.CallInfo, next func(context.Context) error) error {
		if caller, ok := host.Caller(ctx); !ok || caller.HostID != info.Caller.HostID {
			t.Errorf("Caller is %v, %v, and in CallInfo %v", caller, ok, info.Caller)
		}
		if info.Name() == "forbidden" {
			return status.Error(codes.PermissionDenied, "no")
		}
		err := next(context.WithValue(ctx, key{}, "value"))
		calls.add(info.Name() + " of " + info.Caller.Label)
		return err
	}
	wires(t, []host.Option{host.WithInterceptor(intercept)}, func(t *testing.T, exporter, caller *host.Host) {
		inside := func(ctx context.Context) (string, error) {
			if ctx.Value(key{}) != "value" {
				return "", errors.New("the interceptor's context didn't arrive")
			}
			who, _ := host.Caller(ctx)
			if who.Local != (exporter == caller) || who.HostID != caller.ID() || who.Peer == nil {
				t.Errorf("called by %+v, want host %s", who, caller.ID())
			}
			if !who.Local && who.Link.PeerID() != caller.ID() {
				t.Errorf("the caller's link leads to %q", who.Link.PeerLabel())
			}
			if err := grpc.SetHeader(ctx, metadata.Pairs("head", "h")); err != nil {
				return "", err
			}
			if err := grpc.SetTrailer(ctx, metadata.Pairs("trail", "t")); err != nil {
				return "", err
			}
			md, _ := metadata.FromIncomingContext(ctx)
			return md.Get("given")[0], nil
		}
		export(t, exporter, "inside", inside)
		export(t, exporter, "forbidden", func() {})
		posted := make(chan string, 1)
		export(t, exporter, "posted", func(ctx context.Context) {
			who, _ := host.Caller(ctx)
			posted <- who.HostID
		})
		greeterpb.RegisterGreeterServer(exporter, greeter{greeting: "Hello"})

		f := require[func(context.Context, ...grpc.CallOption) (string, error)](t, caller, "inside")
		ctx := metadata.AppendToOutgoingContext(testContext(t), "given", "g")
		var header, trailer metadata.MD
		got, err := f(ctx, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || got != "g" || len(header.Get("head")) != 1 || len(trailer.Get("trail")) != 1 {
			t.Errorf("%q, %v, header %v, trailer %v", got, err, header, trailer)
		}
		_, err = f(metadata.AppendToOutgoingContext(testContext(t), "carp-codec", "json"))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("reserved metadata: %v", err)
		}
		if err := require[func() error](t, caller, "forbidden")(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("forbidden: %v", err)
		}
		if err := require[func() error](t, caller, "posted", host.WithOneWay())(); err != nil {
			t.Error(err)
		}
		if id := <-posted; id != caller.ID() {
			t.Errorf("the one-way call is by %q, want %q", id, caller.ID())
		}
		stream, err := greeterClient(t, caller).GreetAll(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		stream.Recv()
		if _, err := greeterClient(t, caller).Greet(testContext(t), &greeterpb.GreetRequest{Name: "x"}); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"inside", "posted", greeterName + ".GreetAll", greeterName + ".Greet"} {
			calls.wait(t, want+" of "+caller.Label())
		}
	})
}

// A client that is no host is a caller too, and its call of health is seen.
func TestForeignCaller(t *testing.T) {
	leak.Check(t)
	calls := newSeen()
	h := newHost(t, "h", host.WithInterceptor(func(ctx context.Context, info *host.CallInfo, next func(context.Context) error) error {
		calls.add(info.Path)
		if info.Caller.HostID != "" || info.Caller.Link != nil || info.Caller.Peer == nil {
			t.Errorf("the caller is %+v", info.Caller)
		}
		return next(ctx)
	}))
	conn := newForeignClient(t, h).conn
	if _, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	calls.wait(t, "/grpc.health.v1.Health/Check")
	if _, ok := host.Caller(t.Context()); ok {
		t.Error("a context without a call has a caller")
	}
}

// Hooks tell of every moment, in order, on both ends, whatever carries the link.
func TestHooks(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) { testHooks(t, transport) })
	}
}

func testHooks(t *testing.T, transport string) {
	leak.Check(t)
	hooks := func(s *seen) host.Option {
		return host.WithHooks(host.Hooks{
			Status:     func(st host.Status) { s.add("status " + string(st.State)) },
			Accept:     func(l *host.Link) { s.add("accept " + l.PeerLabel()) },
			Connect:    func(l *host.Link) { s.add("connect " + l.PeerLabel()) },
			Disconnect: func(l *host.Link, err error) { s.add("disconnect " + l.PeerLabel()) },
			Exports: func(_ *host.Link, c host.ExportsChange) {
				for _, name := range c.Added {
					s.add("exports +" + name)
				}
				for _, name := range c.Removed {
					s.add("exports -" + name)
				}
			},
			Message: func(_ context.Context, m host.MessageInfo) {
				if m.Sent && m.Path == "/double/call" {
					s.add("message")
				}
			},
			Call: func(_ context.Context, r host.CallResult) {
				s.add("call " + r.Name() + " " + status.Code(r.Err).String())
			},
			Error: func(_ context.Context, path string, _ error) { s.add("error " + path) },
		})
	}
	atServer, atClient := newSeen(), newSeen()
	server, client := newHost(t, "server", hooks(atServer)), newHost(t, "client", hooks(atClient))
	export(t, server, "double", func(n int) int { return 2 * n })
	export(t, server, "fails", func() error { return errors.New("no") })
	l := connect(t, client, listen(t, server, transport))
	atServer.wait(t, "accept client")
	if _, err := host.Call[int](testContext(t), client, "double", 2); err != nil {
		t.Fatal(err)
	}
	if err := require[func() error](t, client, "fails", host.WithOneWay())(); err != nil {
		t.Fatal(err)
	}
	atServer.wait(t, "error /fails/call")
	if _, err := host.Call[int](testContext(t), client, "double", "two"); err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"status serving", "message", "call double OK", "call double InvalidArgument", "call fails OK"} {
		atServer.wait(t, want)
	}
	if err := server.Unexport("fails"); err != nil {
		t.Fatal(err)
	}
	atClient.wait(t, "exports -fails")
	l.Close()
	atServer.wait(t, "disconnect client")
	receive(t, l.Done(), "the end of the link")
	client.Close()
	server.Close()
	want := []string{
		"status connecting", "exports +double", "exports +fails", "connect server", "exports -fails", "disconnect server",
		"status closing", "status closed",
	}
	if got := atClient.all(); !slices.Equal(got, want) {
		t.Errorf("the client told of %q, want %q", got, want)
	}
	if got := atServer.all(); !slices.Equal(got[len(got)-2:], []string{"status closing", "status closed"}) {
		t.Errorf("the server told of %q", got)
	}
}

// A snapshot has links, exports, calls in flight and counts, at home and from afar.
func TestInspect(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	begun, release := make(chan struct{}), make(chan struct{})
	export(t, server, "Jobs.Run", func(fail bool) error {
		if fail {
			return errors.New("failed")
		}
		begun <- struct{}{}
		<-release
		return nil
	}, host.WithVersion("v1"))
	export(t, server, "Inspect", server.Inspect)
	run := require[func(context.Context, bool) error](t, client, "Jobs.Run")
	ended := make(chan error)
	go func() { ended <- run(testContext(t), false) }()
	<-begun
	if err := run(testContext(t), true); err == nil {
		t.Error("no error")
	}
	jobs := func(s host.Snapshot) host.MethodSnapshot {
		for _, e := range s.Exports {
			if e.Service == "Jobs" && e.Version == "v1" && len(e.Methods) == 1 {
				return e.Methods[0]
			}
		}
		t.Fatalf("no Jobs in %+v", s)
		return host.MethodSnapshot{}
	}
	for _, codec := range functionCodecs {
		s, err := require[func() (host.Snapshot, error)](t, client, "Inspect", host.WithCodec(codec))()
		if err != nil {
			t.Fatal(codec, err)
		}
		m := jobs(s)
		if m.Method != "Run" || m.InFlight != 1 || m.Ended != 1 || m.Failed != 1 || m.Longest <= 0 || m.Total != m.Longest {
			t.Errorf("%s: %+v", codec, m)
		}
		if s.InFlight != 2 { // Run and Inspect
			t.Errorf("%s: %d calls are in flight, want 2", codec, s.InFlight)
		}
		if len(s.Links) != 1 || s.Links[0].PeerLabel != "client" || s.Links[0].Dialled || !s.Links[0].Provides {
			t.Errorf("%s: links %+v", codec, s.Links)
		}
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if links := client.Inspect().Links; len(links) != 1 || !slices.Contains(links[0].Announced, "Jobs") {
		t.Errorf("the client's links: %+v", links)
	}
	m := jobs(server.Inspect())
	if m.InFlight != 0 || m.Ended != 2 || m.Quantile(1) != m.Longest || m.Quantile(0.01) <= 0 || m.Quantile(0.01) > m.Longest {
		t.Errorf("at last %+v: p1 %v, p100 %v", m, m.Quantile(0.01), m.Quantile(1))
	}
	_, _ = host.Call[any](testContext(t), client, "Jobs.Nothing")
}
