package host_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Interceptors see every kind of call that a host makes, add metadata to it, and can
// refuse it.
func TestOutgoingInterceptor(t *testing.T) {
	for _, transport := range append(transports(), "local") {
		for _, forward := range []bool{true, false} {
			if transport == "local" && !forward {
				continue
			}
			t.Run(transport+map[bool]string{true: "/forward", false: "/back"}[forward], func(t *testing.T) {
				testOutgoing(t, transport, forward)
			})
		}
	}
}

func testOutgoing(t *testing.T, transport string, forward bool) {
	leak.Check(t)
	seen := make(chan string, 100)
	outer := func(ctx context.Context, info *host.OutgoingInfo, next func(context.Context) error) error {
		if info.Name() == "forbidden" {
			return errors.New("not from here")
		}
		text := info.Name() + " " + info.Codec
		if info.OneWay {
			text += " one-way"
		}
		if info.Stream {
			text += " stream"
		}
		err := next(metadata.AppendToOutgoingContext(ctx, "trace", "outer"))
		seen <- text + " " + status.Code(err).String()
		return err
	}
	inner := func(ctx context.Context, _ *host.OutgoingInfo, next func(context.Context) error) error {
		return next(metadata.AppendToOutgoingContext(ctx, "trace", "inner"))
	}
	caller := newHost(t, "caller", host.WithOutgoingInterceptor(outer, inner))
	exporter := caller
	if transport != "local" {
		exporter = newHost(t, "exporter")
		defer closeHosts(caller, exporter)
	}
	checkTrace := func(ctx context.Context, what string) {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("trace"); len(got) != 2 || got[0] != "outer" || got[1] != "inner" {
			t.Errorf("%s: the metadata has trace %q", what, got)
		}
	}
	export(t, exporter, "f", func(ctx context.Context, n int) (int, error) {
		checkTrace(ctx, "f")
		if n < 0 {
			return 0, errOutOfStock
		}
		return n, nil
	})
	export(t, exporter, "forbidden", func() {})
	export(t, exporter, "down", func(ctx context.Context, n int) iter.Seq[int] {
		checkTrace(ctx, "down")
		return func(yield func(int) bool) { yield(n) }
	})
	export(t, exporter, "up", func(ctx context.Context, all iter.Seq[int]) (sum int) {
		checkTrace(ctx, "up")
		for n := range all {
			sum += n
		}
		return sum
	})
	export(t, exporter, "back", func(f func(int) error) error { return f(1) })
	if _, err := exporter.ExportClass("Counter", func(ctx context.Context) *Counter {
		checkTrace(ctx, "Counter")
		return &Counter{closed: make(chan *Counter, 1)}
	}); err != nil {
		t.Fatal(err)
	}
	greeterpb.RegisterGreeterServer(exporter, greeter{greeting: "Hello"})
	switch {
	case transport == "local":
	case forward:
		connect(t, caller, listen(t, exporter, transport))
	default:
		connect(t, exporter, listen(t, caller, transport))
	}
	expect := func(want string) {
		t.Helper()
		if got := receive(t, seen, want); got != want {
			t.Errorf("the interceptor saw %q, want %q", got, want)
		}
	}
	ctx := testContext(t)
	f := require[func(context.Context, int) (int, error)](t, caller, "f", host.WithCodec("json"))
	if n, err := f(ctx, 3); n != 3 || err != nil {
		t.Error(n, err)
	}
	expect("f json OK")
	if _, err := f(ctx, -1); !errors.Is(err, errOutOfStock) {
		t.Error(err)
	}
	expect("f json Unknown")
	if _, err := host.Call[int](ctx, caller, "f", 1); err != nil {
		t.Error(err)
	}
	expect("f msgpack OK")
	if err := host.Post(ctx, caller, "f", 1); err != nil {
		t.Error(err)
	}
	expect("f msgpack one-way OK")
	_, err := host.Call[any](ctx, caller, "forbidden")
	if e, ok := errors.AsType[*host.Error](err); !ok || e.Sent() || e.Code() != codes.Unknown {
		t.Errorf("a call that was not allowed: %v", err)
	}
	for _, err := range require[func(context.Context, int) iter.Seq2[int, error]](t, caller, "down")(ctx, 1) {
		if err != nil {
			t.Error(err)
		}
	}
	expect("down msgpack stream OK")
	up := require[func(context.Context, iter.Seq[int]) (int, error)](t, caller, "up")
	if n, err := up(ctx, func(yield func(int) bool) { _ = yield(1) && yield(2) }); n != 3 || err != nil {
		t.Error(n, err)
	}
	expect("up msgpack stream OK")
	if err := require[func(context.Context, func(int)) error](t, caller, "back")(ctx, func(int) {}); err != nil {
		t.Error(err)
	}
	if transport == "local" {
		expect("carp.v1.Callback.call msgpack OK")
	}
	expect("back msgpack OK")
	c, err := require[func(context.Context) (*remoteCounter, error)](t, caller, "Counter")(ctx)
	if err != nil {
		t.Fatal(err)
	}
	expect("Counter msgpack OK")
	if _, err := c.Add(ctx, 1); err != nil {
		t.Error(err)
	}
	expect("Counter.Add msgpack OK")
	if _, err := host.CallMethod[int](ctx, &c.Object, "Add", 1); err != nil {
		t.Error(err)
	}
	expect("Counter.Add msgpack OK")
	release(ctx, t, &c.Object)
	g := greeterClient(t, caller)
	if _, err := g.Greet(ctx, &greeterpb.GreetRequest{Name: "x"}); err != nil {
		t.Error(err)
	}
	expect(greeterName + ".Greet proto OK")
	stream, err := g.GreetAll(ctx)
	if err == nil {
		err = errors.Join(stream.Send(&greeterpb.GreetRequest{Name: "x"}), stream.CloseSend())
		_, recvErr := stream.Recv()
		err = errors.Join(err, recvErr)
	}
	if err != nil {
		t.Error(err)
	}
	expect(greeterName + ".GreetAll proto stream OK")
	if len(seen) > 0 {
		t.Errorf("the interceptor saw also %q", <-seen)
	}
	if stream != nil {
		_, _ = stream.Recv() // the end
	}
}

// An interceptor can't make a success of a call that has failed, or wasn't made.
func TestOutgoingInterceptorSwallows(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithOutgoingInterceptor(
		func(ctx context.Context, info *host.OutgoingInfo, next func(context.Context) error) error {
			if info.Name() == "fails" {
				_ = next(ctx)
			}
			return nil
		}))
	export(t, h, "fails", func() error { return errOutOfStock })
	export(t, h, "f", func() {})
	if _, err := host.Call[any](testContext(t), h, "fails"); !errors.Is(err, errOutOfStock) {
		t.Errorf("the error that was swallowed: %v", err)
	}
	if _, err := host.Call[any](testContext(t), h, "f"); status.Code(err) != codes.Internal {
		t.Errorf("the call that was not made: %v", err)
	}
}

// A connection for generated clients goes to this host first, and to whom a picker
// chooses, with the codec that it was required with.
func TestRequireConnOptions(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			told := make(chan string, 1)
			codec := host.WithInterceptor(func(ctx context.Context, info *host.CallInfo, next func(context.Context) error) error {
				told <- info.Codec
				return next(ctx)
			})
			caller, one, two := newHost(t, "caller", codec), newHost(t, "one", codec), newHost(t, "two", codec)
			defer closeHosts(caller, one, two)
			for _, h := range []*host.Host{caller, one, two} {
				greeterpb.RegisterGreeterServer(h, greeter{greeting: h.Label()})
			}
			connect(t, caller, listen(t, one, transport))
			connect(t, two, listen(t, caller, transport))
			greets := func(want, wantCodec string, opts ...host.CallOption) {
				t.Helper()
				conn, err := caller.RequireConn(testContext(t), greeterName, opts...)
				if err != nil {
					t.Fatal(err)
				}
				c := greeterpb.NewGreeterClient(conn)
				r, err := c.Greet(testContext(t), &greeterpb.GreetRequest{Name: "x"})
				if err != nil || r.GetText() != want+" x" {
					t.Errorf("%v, %v, want %s", r, err, want)
				}
				if got := receive(t, told, "the call"); got != wantCodec {
					t.Errorf("the codec is %q, want %q", got, wantCodec)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				defer cancel()
				stream, err := c.GreetAll(ctx)
				if err == nil {
					err = stream.Send(&greeterpb.GreetRequest{Name: "y"})
				}
				if err != nil {
					t.Fatal(err)
				}
				if r, err := stream.Recv(); err != nil || r.GetText() != want+" y" {
					t.Errorf("stream: %v, %v, want %s", r, err, want)
				}
				if got := receive(t, told, "the stream"); got != wantCodec {
					t.Errorf("the codec of the stream is %q, want %q", got, wantCodec)
				}
			}
			greets("caller", "proto")
			for _, label := range []string{"caller", "one", "two"} {
				greets(label, "proto", host.WithPicker(host.OnHost(label)))
				greets(label, "msgpack", host.WithPicker(host.OnHost(label)), host.WithCodec("msgpack"))
				greets(label, "json", host.WithPicker(host.OnHost(label)), host.WithCodec("json"))
			}
			_, err := caller.RequireConn(expired(), greeterName, host.WithPicker(host.OnHost("three")))
			checkError(t, err, "the policy chose none of them")
			_, err = caller.RequireConn(testContext(t), greeterName, host.WithCodec("carp"))
			checkError(t, err, "none for messages")
			_, err = caller.RequireConn(testContext(t), greeterName, host.WithOneWay())
			checkError(t, err, "no one-way calls")
		})
	}
}
