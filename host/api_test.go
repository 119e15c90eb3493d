package host_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// eachWire runs a test between a host that exports and one that calls: over each
// transport from either end, and in one host.
func eachWire(t *testing.T, test func(t *testing.T, exporter, caller *host.Host), opts ...host.Option) {
	t.Helper()
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			server, client := newHost(t, "server", opts...), newHost(t, "client", opts...)
			connect(t, client, listen(t, server, transport))
			t.Run("forward", func(t *testing.T) { test(t, server, client) })
			t.Run("back", func(t *testing.T) { test(t, client, server) })
		})
	}
	t.Run("local", func(t *testing.T) {
		leak.Check(t)
		h := newHost(t, "h", opts...)
		test(t, h, h)
	})
}

// anyCodec and typedToo are the codecs of dynamic calls, and of typed ones.
var (
	anyCodec = []string{"msgpack", "json", "carp"}
	typedToo = append([]string{"proto"}, anyCodec...)
)

// Call forms: blocking, future, callback, one-way; positional, keyword and mixed.
func TestCallForms(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "sub", func(a, b int) int { return a - b }, host.WithParams("a", "b"))
		ctx := testContext(t)
		for _, codec := range typedToo {
			with := host.WithCodec(codec)
			sub := require[func(context.Context, int, int, ...grpc.CallOption) (int, error)](t, caller, "sub", with)
			if got, err := sub(ctx, 7, 2); got != 5 || err != nil {
				t.Errorf("%s: %v, %v", codec, got, err)
			}
			if got, err := sub(ctx, 7, 2, grpc.CallContentSubtype("json")); got != 5 || err != nil {
				t.Errorf("%s, with JSON for one call: %v, %v", codec, got, err)
			}
			future := require[func(context.Context, int, int) *host.Future[int]](t, caller, "sub", with)(ctx, 7, 3)
			if got, err := future.Wait(ctx); got != 4 || err != nil {
				t.Errorf("%s, future: %v, %v", codec, got, err)
			}
			if codec == "proto" {
				continue
			}
			for _, arguments := range [][]any{
				{7, 2, with}, {host.Kwargs{"a": 7, "b": 2}, with}, {7, host.Kwargs{"b": 2}, with},
			} {
				if got, err := host.Call[int](ctx, caller, "sub", arguments...); got != 5 || err != nil {
					t.Errorf("%s, %v: %v, %v", codec, arguments[:1], got, err)
				}
			}
			answer := make(chan int)
			host.Go[int](ctx, caller, "sub", 9, 1, with).Then(func(got int, err error) {
				if err != nil {
					t.Error(err)
				}
				answer <- got
			})
			if got := receive(t, answer, "the callback"); got != 8 {
				t.Errorf("%s, callback: %d", codec, got)
			}
		}
		if err := exporter.Unexport("sub"); err != nil {
			t.Error(err)
		}
	})
}

// The outcome of a call that fails, and the wait that is given up, both end Wait.
func TestFuture(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	release := make(chan struct{})
	export(t, h, "slow", func(ctx context.Context) error {
		<-release
		return errors.New("late")
	})
	ctx := testContext(t)
	future := require[func(context.Context) *host.Future[struct{}]](t, h, "slow")(ctx)
	if _, err := future.Wait(expired()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(release)
	if _, err := future.Wait(ctx); err == nil || !strings.Contains(err.Error(), "late") {
		t.Errorf("%v", err)
	}
	receive(t, future.Done(), "the end of the future")
}

// A one-way call returns before its function does, and fails if it isn't admitted.
func TestOneWay(t *testing.T) {
	failures := make(chan error, 1)
	hooks := host.WithHooks(host.Hooks{Error: func(_ context.Context, _ string, err error) { failures <- err }})
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		ctx, cancel := context.WithCancel(testContext(t))
		got, release := make(chan int), make(chan struct{})
		export(t, exporter, "note", func(ctx context.Context, n int) error {
			got <- n
			<-release
			return errors.Join(ctx.Err(), errors.New("too late to tell"))
		})
		note := require[func(context.Context, int) error](t, caller, "note", host.WithOneWay())
		if err := note(ctx, 5); err != nil {
			t.Fatal(err)
		}
		if n := receive(t, got, "the one-way call"); n != 5 {
			t.Errorf("%d arrived", n)
		}
		if err := host.Post(ctx, caller, "note", 6); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a second one: %v, want ResourceExhausted", err)
		}
		if err := host.Post(ctx, caller, "note", "six"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("arguments that don't fit: %v", err)
		}
		cancel() // of no concern to a function that was called one-way
		close(release)
		if err := receive(t, failures, "the error's hook"); err.Error() != "too late to tell" {
			t.Errorf("the hook is told %v", err)
		}
		if err := exporter.Unexport("note"); err != nil {
			t.Error(err)
		}
	}, hooks, host.WithMaxCalls(1))
}

// A one-way call ends with its host's own timeout, and Shutdown waits for it.
func TestOneWayEnds(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithOneWayTimeout(time.Millisecond))
	ended := make(chan error, 1)
	export(t, h, "wait", func(ctx context.Context) {
		<-ctx.Done()
		ended <- ctx.Err()
	})
	if err := host.Post(testContext(t), h, "wait"); err != nil {
		t.Fatal(err)
	}
	if err := h.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	default:
		t.Error("Shutdown returned before the function did")
	}
}

func TestOneWayResults(t *testing.T) {
	_, err := host.Require[func() (int, error)](expired(), newHost(t, "h"), "f", host.WithOneWay())
	checkError(t, err, "nothing comes back")
}

// calculator is what a client wants of a Calculator.
type calculator struct {
	Add    func(context.Context, int, int) (int, error)
	Halve  func(float64, float64) (float64, error) `carp:"Divide"`
	hidden int
}

// A struct of functions is filled in, or all that is wrong with it is told.
func TestRequireStruct(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "Calculator", Calculator{})
		calc := require[calculator](t, caller, "Calculator")
		if got, err := calc.Add(testContext(t), 1, 2); got != 3 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := calc.Halve(3, 2); got != 1.5 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		_ = calc.hidden
		_, err := host.Require[struct {
			Add  func(string) error
			Nix  func() error
			Echo func([]byte) ([]byte, error)
		}](expired(), caller, "Calculator")
		checkError(t, err, "Calculator.Nix: timed out waiting for it: Calculator is exported, without the method Nix")
		checkError(t, err, "wanted as (string); ")
		checkError(t, err, "exports it as (int64, int64) int64: parameter 1 is another type")
		if strings.Contains(err.Error(), "Echo") {
			t.Errorf("%v, though Echo fits", err)
		}
		_, err = host.Require[struct {
			A int
			B func()
		}](expired(), caller, "Calculator")
		checkError(t, err, "field A: int can't be required")
		checkError(t, err, "field B: func() can't be required")
		if err := exporter.Unexport("Calculator"); err != nil {
			t.Error(err)
		}
	})
	_, err := host.Require[struct{}](expired(), newHost(t, "h"), "S")
	checkError(t, err, "no exported fields to fill in")
}

// What a provider's signature must have in common with what is required.
func TestSignaturesFit(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "f", func(context.Context, int8, *string, ...float64) (point, error) { return point{}, nil })
	fits := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ctx := testContext(t)
	var err error
	_, err = host.Require[func(int, string) (point, error)](ctx, client, "f")
	fits(err)
	_, err = host.Require[func(int8) (any, error)](ctx, client, "f")
	fits(err)
	_, err = host.Require[func(any, any, float64, float64) error](ctx, client, "f")
	fits(err)
	_, err = host.Require[func(uint64, *string, ...float64) (struct{ Y, X float64 }, error)](ctx, client, "f")
	fits(err)

	_, err = host.Require[func(string) error](expired(), client, "f")
	checkError(t, err, `wanted as (string); host "server" (unix:`)
	checkError(t, err, "exports it as (int8, *string, ...float64) {X float64, Y float64}: parameter 1 is another type")
	_, err = host.Require[func() error](expired(), client, "f")
	checkError(t, err, "0 parameters, it takes 3")
	_, err = host.Require[func(int, string) (struct{ X, Z float64 }, error)](expired(), client, "f")
	checkError(t, err, "result 1 is another type")
	_, err = host.Require[func(int, string) (point, int, error)](expired(), client, "f")
	checkError(t, err, "2 results, it returns 1")
	_, err = host.Require[func(int, ...string) error](expired(), client, "f")
	checkError(t, err, "parameter 2 is variadic, there it isn't")
}

// A provider that no longer fits gets no more calls.
func TestSignatureChanges(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "f", func(int) int { return 1 })
	f := require[func(int) (int, error)](t, client, "f")
	export(t, server, "f", func(string) string { return "" }, host.WithReplace())
	require[func(string) (string, error)](t, client, "f") // waits until it is known
	_, err := f(1)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
	checkError(t, err, "no host exports f as (int64) int64 now")
	checkError(t, err, "exports it as (string) string")
}

// Unlike Export, ExportAs exports what is listed, and nothing else.
func TestExportAs(t *testing.T) {
	h := newHost(t, "h")
	type api interface {
		Value(int) int
		Close() error
	}
	e, err := host.ExportAs[api](h, "S", &service{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"S.Close", "S.Value"}, e.Methods); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(e.Skipped, func(s host.Skipped) bool { return s.Method == "Pointer" }); i < 0 ||
		!strings.Contains(e.Skipped[i].Reason, "doesn't list it") {
		t.Errorf("skipped: %v", e.Skipped)
	}
	_, err = host.ExportAs[interface{ Unfit(chan int) }](h, "T", &service{})
	checkError(t, err, "chan int")
	_, err = host.ExportAs[any](h, "T", &service{})
	checkError(t, err, "no interface with methods")
	_, err = host.ExportAs[*service](h, "T", &service{})
	checkError(t, err, "no interface with methods")
	_, err = host.ExportAs[api](h, "T", nil)
	checkError(t, err, "nothing to call in nil")
}

// An export that replaces another is never missing meanwhile.
func TestReplace(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	export(t, server, "S", Calculator{}, host.WithReplace()) // of nothing
	export(t, server, "S.Extra", func() int { return 7 })
	extra := require[func() (int, error)](t, client, "S.Extra")
	add := require[func(int, int) (int, error)](t, client, "S.Add")
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := add(1, 2); err != nil {
				stopped <- err
				<-stop
				return
			}
		}
	}()
	for range 100 {
		export(t, server, "S", Calculator{}, host.WithReplace(), host.WithVersion("2"))
	}
	close(stop)
	if err := receive(t, stopped, "the last call"); err != nil {
		t.Error(err)
	}
	export(t, server, "S", &service{}, host.WithReplace())
	require[func(int) (int, error)](t, client, "S.Value")
	if _, err := add(1, 2); status.Code(err) != codes.Unavailable {
		t.Errorf("%v of a method that was replaced away", err)
	}
	if got, err := extra(); got != 7 || err != nil {
		t.Errorf("what was exported under another name: %v, %v", got, err)
	}
	_, err := server.Export("grpc.health.v1.Health", Calculator{}, host.WithReplace())
	checkError(t, err, "taken")
	_, err = server.Export("S.Extra.Deeper", func() {}, host.WithReplace())
	checkError(t, err, "")
}

// Who gets a call is chosen by a policy, which sees versions and metadata.
func TestPickers(t *testing.T) {
	leak.Check(t)
	caller := newHost(t, "caller")
	var first *host.Host
	for i, label := range []string{"a", "b", "c"} {
		h := newHost(t, label)
		if i == 0 {
			first = h
		}
		export(t, h, "who", func() string { return label },
			host.WithVersion("v"+label), host.WithMetadata(map[string]string{"zone": label}))
		connect(t, caller, listen(t, h, "unix"))
	}
	ask := func(p host.Picker) func() string {
		who := require[func() (string, error)](t, caller, "who", host.WithPicker(p))
		return func() string {
			got, err := who()
			if err != nil {
				t.Error(err)
			}
			return got
		}
	}
	asked := func(ask func() string, n int) map[string]int {
		counts := make(map[string]int)
		for range n {
			counts[ask()]++
		}
		return counts
	}
	if diff := cmp.Diff(map[string]int{"a": 10, "b": 10, "c": 10}, asked(ask(host.RoundRobin()), 30)); diff != "" {
		t.Errorf("round robin (-want +got):\n%s", diff)
	}
	if got := asked(ask(host.Sticky()), 30); len(got) != 1 {
		t.Errorf("sticky: %v", got)
	}
	random := ask(host.Random())
	for seen := make(map[string]bool); len(seen) < 3; {
		seen[random()] = true
	}
	if got := asked(ask(host.OnHost("b", first.ID())), 30); got["c"] > 0 {
		t.Errorf("on a or b: %v", got)
	}
	byZone := func(_ string, all []host.Provider) int {
		return slices.IndexFunc(all, func(p host.Provider) bool { return p.Metadata["zone"] == "c" && p.Version == "vc" })
	}
	if got := asked(ask(byZone), 30); got["c"] != 30 {
		t.Errorf("in zone c: %v", got)
	}
	if all := caller.Providers("who"); len(all) != 3 || all[0].Link == nil {
		t.Errorf("providers: %v", all)
	}

	_, err := host.Require[func() error](expired(), caller, "who", host.WithPicker(host.OnHost("nobody")))
	checkError(t, err, "export it, but the policy chose none of them")
	export(t, caller, "who", func() string { return "local" })
	for name, p := range map[string]host.Picker{"random": host.Random(), "round robin": host.RoundRobin(), "sticky": host.Sticky()} {
		if got := asked(ask(p), 5); got["local"] != 5 {
			t.Errorf("%s, with a local one: %v", name, got)
		}
	}
	if got := asked(ask(host.OnHost("a")), 5); got["a"] != 5 {
		t.Errorf("on a, with a local one: %v", got)
	}
	who := require[func() (string, error)](t, caller, "who", host.WithPicker(host.OnHost("a")))
	first.Close()
	for _, l := range caller.Links() {
		if l.PeerID() == first.ID() {
			receive(t, l.Done(), "the end of a link")
		}
	}
	if _, err := who(); status.Code(err) != codes.Unavailable {
		t.Errorf("the named host is gone: %v", err)
	}
}
