package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// expired is a context without any time left.
func expired() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	return ctx
}

// The error of a Require in vain says what was waited for, and what there was.
func TestRequireTimeout(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "Calc", Calculator{})

	_, err := host.Require[func() error](expired(), client, "Nix.Nil")
	checkError(t, err, `host "client": require "Nix.Nil": timed out`)
	checkError(t, err, "no host exports it")
	checkError(t, err, `linked hosts: "server" (unix:`)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no DeadlineExceeded", err)
	}
	<-announced(t, client, "Calc")
	_, err = host.Require[func() error](expired(), client, "Calc.Nix")
	checkError(t, err, "Calc is exported, without the method Nix")

	_, err = client.RequireConn(expired(), "no.Service")
	checkError(t, err, `require the service "no.Service": timed out`)

	_, err = host.Require[func() error](expired(), newHost(t, "lonely"), "f")
	checkError(t, err, "no hosts are linked")
}

// announced is closed when h knows of a service.
func announced(t *testing.T, h *host.Host, service string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := h.RequireConn(testContext(t), service); err != nil {
			t.Error(err)
		}
	}()
	return done
}

func TestRequireSignatures(t *testing.T) {
	h := newHost(t, "h")
	_, err := host.Require[int](expired(), h, "f")
	checkError(t, err, "int is not a function")
	_, err = host.Require[func() int](expired(), h, "f")
	checkError(t, err, "the last result is not an error")
	_, err = host.Require[func(chan int) error](expired(), h, "f")
	checkError(t, err, "chan int has no form")
	_, err = host.Require[func() error](expired(), h, "a b")
	checkError(t, err, "no name")
	_, err = host.Require[func() error](expired(), h, "f", host.WithCodec("yaml"))
	checkError(t, err, `the codec "yaml" is not known`)
}

// Require waits for an export that comes later, of this host or a linked one.
func TestRequireWaits(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	for i, h := range []*host.Host{server, client} {
		t.Run(h.Label(), func(t *testing.T) {
			name := fmt.Sprintf("late%d", i)
			var waiting sync.WaitGroup
			for _, h := range []*host.Host{server, client} {
				waiting.Go(func() {
					f, err := host.Require[func() (int, error)](testContext(t), h, name)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := f(); err != nil || got != i {
						t.Errorf("%v, %v", got, err)
					}
				})
			}
			export(t, h, name, func() int { return i })
			waiting.Wait()
		})
	}
}

// A required function is bound to the name: it follows its providers.
func TestRequiredFollowsProviders(t *testing.T) {
	leak.Check(t)
	first, second, caller := newHost(t, "first"), newHost(t, "second"), newHost(t, "caller")
	export(t, first, "who", func() string { return "first" })
	export(t, second, "who", func() string { return "second" })
	linkToFirst := connect(t, caller, listen(t, first, "unix"))
	connect(t, caller, listen(t, second, "unix"))
	who := require[func() (string, error)](t, caller, "who")
	asked := func() string {
		t.Helper()
		got, err := who()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen := make(map[string]bool)
	for len(seen) < 2 {
		seen[asked()] = true // any of them
	}
	linkToFirst.Close()
	<-linkToFirst.Done()
	for range 50 {
		if got := asked(); got != "second" {
			t.Fatalf("%s answered", got)
		}
	}
	export(t, caller, "who", func() string { return "caller" })
	for range 50 {
		if got := asked(); got != "caller" {
			t.Fatalf("%s answered, though the host itself could", got)
		}
	}
	if err := caller.Unexport("who"); err != nil {
		t.Fatal(err)
	}
	if got := asked(); got != "second" {
		t.Fatalf("%s answered", got)
	}
	second.Close()
	for _, l := range caller.Links() {
		<-l.Done()
	}
	if _, err := who(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

// Local calls copy, as all others do.
func TestLocalCallCopies(t *testing.T) {
	h := newHost(t, "h")
	kept := make(chan []int, 1)
	export(t, h, "keep", func(s []int) []int {
		kept <- s
		return s
	})
	keep := require[func([]int) ([]int, error)](t, h, "keep")
	mine := []int{1, 2, 3}
	got, err := keep(mine)
	if err != nil {
		t.Fatal(err)
	}
	theirs := <-kept
	mine[0], got[1], theirs[2] = 7, 8, 9
	if diff := cmp.Diff([][]int{{7, 2, 3}, {1, 8, 3}, {1, 2, 9}}, [][]int{mine, got, theirs}); diff != "" {
		t.Errorf("shared memory (-want +got):\n%s", diff)
	}
}

// A required function of several results, and one that wants fewer.
func TestResults(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "two", func() (int, string) { return 1, "x" })
	two := require[func() (int, string, error)](t, client, "two")
	if n, s, err := two(); n != 1 || s != "x" || err != nil {
		t.Error(n, s, err)
	}
	none := require[func() error](t, client, "two")
	if err := none(); err != nil {
		t.Error(err)
	}
	_, err := host.Require[func() (int, string, bool, error)](expired(), client, "two")
	checkError(t, err, "3 results, it returns 2")
	_, err = host.Require[func() (int, bool, error)](expired(), client, "two")
	checkError(t, err, "result 2 is another type")

	// What comes back may still not fit.
	export(t, server, "any", func() (any, any) { return 1, "x" })
	wrong := require[func() (int, int, error)](t, client, "any")
	if a, b, err := wrong(); a != 0 || b != 0 || status.Code(err) != codes.Internal {
		t.Error(a, b, err)
	}
}

// Dynamic calls, positional, by name and mixed.
func TestCallDynamic(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "Calc", Calculator{}, host.WithMethodParams("Add", "a", "b"))
	export(t, server, "same", func(v any) any { return v })
	<-announced(t, client, "same")
	ctx := testContext(t)
	for _, codec := range dynamicCodecs {
		for _, arguments := range [][]any{
			{1, 2},
			{host.Kwargs{"a": 1, "b": 2}},
			{1, host.Kwargs{"b": 2}},
		} {
			got, err := host.Call[int](ctx, client, "Calc.Add", append(arguments, host.WithCodec(codec))...)
			if err != nil || got != 3 {
				t.Errorf("%s %v: %v, %v", codec, arguments, got, err)
			}
		}
		for _, v := range []any{nil, true, int64(1) << 60, 1.5, "x", []any{int64(1), nil}, map[string]any{"a": []byte{1}}} {
			got, err := host.Call[any](ctx, client, "same", v, host.WithCodec(codec))
			if err != nil || !cmp.Equal(v, got) {
				t.Errorf("%s: %#v came back as %#v, %v", codec, v, got, err)
			}
		}
	}
	_, err := host.Call[string](ctx, client, "Calc.Add", 1, 2)
	checkError(t, err, "the result: want string, got 3")
	_, err = host.Call[int](ctx, client, "Calc.Add", 1, make(chan int))
	checkError(t, err, "the arguments")
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v, want InvalidArgument", err)
	}
	_, err = host.Call[any](ctx, client, "not a name")
	checkError(t, err, "no name")
	_, err = host.Call[chan int](ctx, client, "same")
	checkError(t, err, "chan int")
}

// A call over the largest message, in each direction and either way.
func TestMessageSize(t *testing.T) {
	leak.Check(t)
	server, client := linked(t, host.WithMaxMessageSize(200_000))
	make_ := func(n int) []byte { return make([]byte, n) }
	take := func(b []byte) int { return len(b) }
	for name, h := range map[string]*host.Host{"forward": server, "back": client} {
		export(t, h, name+"Make", make_)
		export(t, h, name+"Take", take)
	}
	for name, h := range map[string]*host.Host{"forward": client, "back": server} {
		t.Run(name, func(t *testing.T) {
			f := require[func(int) ([]byte, error)](t, h, name+"Make")
			g := require[func([]byte) (int, error)](t, h, name+"Take")
			if got, err := f(199_000); err != nil || len(got) != 199_000 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if _, err := f(201_000); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a reply too large: %v", err)
			}
			if got, err := g(make([]byte, 199_000)); err != nil || got != 199_000 {
				t.Errorf("%d bytes, %v", got, err)
			}
			if _, err := g(make([]byte, 201_000)); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a request too large: %v", err)
			}
		})
	}
}

// Many calls at once over one link, both ways.
func TestConcurrentCalls(t *testing.T) {
	leak.Check(t)
	server, client := linked(t, host.WithMaxCalls(8))
	echo := func(n int, b []byte) (int, int) { return n, len(b) }
	export(t, server, "echo", echo)
	export(t, client, "echoBack", echo)
	type echoer = func(context.Context, int, []byte) (int, int, error)
	var calls sync.WaitGroup
	for _, call := range []echoer{require[echoer](t, client, "echo"), require[echoer](t, server, "echoBack")} {
		for caller := range 32 {
			calls.Go(func() {
				for i := range 20 {
					size := i * i * 500 * (caller % 2)
					n, l, err := call(testContext(t), i, make([]byte, size))
					if err != nil || n != i || l != size {
						t.Errorf("%d, %d, %v; want %d, %d", n, l, err, i, size)
						return
					}
				}
			})
		}
	}
	calls.Wait()
}

// A bound on messages is not one on what links are made of.
func TestSmallMessages(t *testing.T) {
	leak.Check(t)
	server, client := linked(t, host.WithMaxMessageSize(100))
	for i := range 500 {
		export(t, client, fmt.Sprintf("a.service.with.a.long.name%d.f", i), func(b []byte) int { return len(b) })
	}
	late := newHost(t, "late")
	connect(t, late, listen(t, client, "unix"))
	for _, h := range []*host.Host{server, late} {
		f := require[func([]byte) (int, error)](t, h, "a.service.with.a.long.name499.f")
		if n, err := f(make([]byte, 50)); n != 50 || err != nil {
			t.Error(n, err)
		}
		if _, err := f(make([]byte, 101)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a request too large: %v", err)
		}
	}
	_, err := client.Export("huge", func() {}, host.WithMetadata(map[string]string{"k": strings.Repeat("x", 1<<20)}))
	checkError(t, err, "what peers are told of huge takes")
}
