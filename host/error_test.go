package host_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

var (
	errOutOfStock = errors.New("out of stock")
	errSoldOut    = errors.New("sold out") // the same, elsewhere
	errOther      = errors.New("out of stock")
)

func registerErrors() {
	host.RegisterError("shop.OutOfStock", errOutOfStock)
	host.RegisterError("shop.OutOfStock", errSoldOut)
	host.RegisterError("shop.Other", errOther)
}

// An error that both ends know by name is that error on the other end.
func TestRegisteredError(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "buy", func(wrapped bool) error {
			if wrapped {
				return fmt.Errorf("apples: %w", errOutOfStock)
			}
			return errOutOfStock
		})
		defer exporter.Unexport("buy")
		for _, codec := range typedToo {
			buy := require[func(context.Context, bool) error](t, caller, "buy", host.WithCodec(codec))
			for _, wrapped := range []bool{false, true} {
				err := buy(testContext(t), wrapped)
				if !errors.Is(err, errOutOfStock) || !errors.Is(err, errSoldOut) || errors.Is(err, errOther) {
					t.Errorf("%s: %v is the wrong error", codec, err)
				}
				e, ok := errors.AsType[*host.Error](err)
				if !ok || e.Exception() != "shop.OutOfStock" || !e.Remote() {
					t.Errorf("%s: %#v", codec, err)
				}
			}
		}
	})
}

func TestRegisterErrorTwice(t *testing.T) {
	host.RegisterError("shop.Other", errOther)
	for name, register := range map[string]func(){
		"another name": func() { host.RegisterError("shop.Another", errOther) },
		"no name":      func() { host.RegisterError("", errors.New("x")) },
		"no error":     func() { host.RegisterError("x", nil) },
		"incomparable": func() { host.RegisterError("x", incomparable{"x"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register()
		}()
	}
}

type incomparable []string

func (incomparable) Error() string { return "incomparable" }

type tooManyError struct{ n int }

func (e *tooManyError) Error() string { return fmt.Sprintf("%d are too many", e.n) }

// An error that was received from a host and is returned to another one keeps its
// code, its text and the name of its type.
func TestRelayedError(t *testing.T) {
	leak.Check(t)
	first, second, third := newHost(t, "first"), newHost(t, "second"), newHost(t, "third")
	connect(t, second, listen(t, first, "unix"))
	connect(t, third, listen(t, second, "unix"))
	export(t, first, "origin", func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &tooManyError{3}
	})
	origin := require[func(context.Context) error](t, second, "origin")
	export(t, second, "relay", origin)
	export(t, second, "wrap", func(ctx context.Context) error { return fmt.Errorf("relayed: %w", origin(ctx)) })
	export(t, second, "nobody", func(ctx context.Context) error {
		_, err := host.Call[int](ctx, second, "no.Such")
		return err
	})
	for name, want := range map[string]struct{ exception, text string }{
		"relay":  {"host_test.tooManyError", "3 are too many"},
		"wrap":   {"host_test.tooManyError", "relayed: origin: Unknown (host_test.tooManyError): 3 are too many"},
		"nobody": {"carp.HostError", "no host exports no.Such now"},
	} {
		err := require[func(context.Context) error](t, third, name)(testContext(t))
		e, ok := errors.AsType[*host.Error](err)
		if !ok || e.Exception() != want.exception {
			t.Errorf("%s: %v has the name %q, want %q", name, err, e.Exception(), want.exception)
		}
		checkError(t, err, want.text)
	}
	if err := require[func(context.Context) error](t, third, "nobody")(testContext(t)); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

// An error says whether a function may have run for the call, on every wire.
func TestErrorSent(t *testing.T) {
	refuse := host.WithAuthorizer(func(_ context.Context, a *host.Access) error {
		if a.Action == host.ActionCall && a.Service == "guarded" {
			return errors.New("no")
		}
		return nil
	})
	wires(t, []host.Option{refuse}, func(t *testing.T, exporter, caller *host.Host) {
		check := func(what string, err error, sent, remote bool) {
			t.Helper()
			e, ok := errors.AsType[*host.Error](err)
			if !ok || e.Sent() != sent || e.Remote() != remote {
				t.Errorf("%s: %v: %#v, want sent %t, remote %t", what, err, e, sent, remote)
			}
		}
		begun := make(chan struct{}, 1)
		export(t, exporter, "fails", func() error { return errOutOfStock })
		release := make(chan struct{})
		defer close(release)
		export(t, exporter, "hangs", func() { // whatever its caller does
			begun <- struct{}{}
			<-release
		})
		export(t, exporter, "streams", func(n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(n, nil) && yield(0, errOutOfStock) }
		})
		export(t, exporter, "guarded", func() {})
		require[func() error](t, caller, "guarded")
		fails := require[func(context.Context, ...grpc.CallOption) error](t, caller, "fails")
		hangs := require[func(context.Context) error](t, caller, "hangs")
		streams := require[func(context.Context, int) (iter.Seq2[int, error], error)](t, caller, "streams")

		check("the function's error", fails(testContext(t)), true, true)
		_, err := host.Call[any](testContext(t), caller, "fails")
		check("the same, dynamic", err, true, true)
		_, err = host.Call[int](testContext(t), caller, "nobody")
		check("no provider", err, false, false)
		_, err = host.Call[any](testContext(t), caller, "fails", make(chan int))
		check("an argument without a form", err, false, false)
		check("reserved metadata", fails(metadata.AppendToOutgoingContext(testContext(t), "carp-x", "")), false, false)
		if exporter != caller { // it is not asked about the host itself
			_, err = host.Call[any](testContext(t), caller, "guarded")
			check("the authorizer's refusal", err, false, true)
		}
		items, err := streams(testContext(t), 1)
		for _, err = range items {
			if err != nil {
				check("the error of a stream", err, true, true)
			}
		}
		if err == nil {
			t.Error("the stream has ended well")
		}
		ctx, cancel := context.WithCancel(testContext(t))
		ended := make(chan error, 1)
		go func() { ended <- hangs(ctx) }()
		receive(t, begun, "the function's begin")
		cancel()
		check("given up", receive(t, ended, "the call"), true, false)
	})
}
