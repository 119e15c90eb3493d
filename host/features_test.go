package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// temperature controls its own wire form, in every codec.
type temperature struct{ kelvin float64 }

func (t temperature) EncodeValue() (any, error) {
	return value.Named{Name: "temperature", Value: t.kelvin}, nil
}

func (t *temperature) DecodeValue(decode func(any) error) error {
	var n value.Named
	if err := decode(&n); err != nil {
		return err
	}
	k, ok := n.Value.(float64)
	if n.Name != "temperature" || !ok {
		return fmt.Errorf("a %q is no temperature", n.Name)
	}
	t.kelvin = k
	return nil
}

// featureRow is one row of the list of what the original carp does, and how ours is
// shown to do it: over each transport from either end, with each codec.
type featureRow struct {
	original string
	show     func(t *testing.T, f feature)
}

// feature is where a row is shown.
type feature struct {
	exporter, caller *host.Host
	codec            string
	with             host.CallOption
	id               int64
}

var nextID atomic.Int64

// name is a name that no other export has: a caller may still know of one that has
// just been taken back.
func (f feature) name(base string) string { return fmt.Sprintf("%s_%d", base, f.id) }

func (f feature) dynamic() bool { return f.codec != "proto" }

// echoes requires a function that returns what it gets, and checks that values
// survive.
func echoes[T any](t *testing.T, f feature, values ...T) {
	t.Helper()
	f.id = nextID.Add(1)
	export(t, f.exporter, f.name("echo"), func(v T) T { return v })
	defer f.exporter.Unexport(f.name("echo"))
	echo := require[func(T) (T, error)](t, f.caller, f.name("echo"), f.with)
	for _, v := range values {
		got, err := echo(v)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%T: %v came back as %v, %v", v, v, got, err)
		}
	}
}

// The rows that are about a host. Those about channels, messages and how they are
// framed are shown by the transports themselves (packages shmconn and dialer), under
// which every row below runs; RATIONALE.md says what has no counterpart.
var features = []featureRow{
	{"Serializer registry, label on every message", func(t *testing.T, f feature) {
		echoes(t, f, "the codec is the call's: "+f.codec)
	}},
	{"JSON with datetime, date, nested Serializable", func(t *testing.T, f feature) {
		echoes(t, f, time.Date(2026, 2, 28, 12, 0, 0, 123456789, time.UTC))
		echoes(t, f, value.Date{Year: 2026, Month: 2, Day: 28})
		echoes(t, f, []temperature{{273.15}, {0}})
	}},
	{"protobuf of Python values: str, float, int, bytes, bool, None, list, dict with any key", func(t *testing.T, f feature) {
		echoes(t, f, "", "text", "\u00e4\U0001f41f")
		echoes(t, f, 0.1, math.MaxFloat64, -0.5)
		echoes[int64](t, f, 0, math.MinInt64, math.MaxInt64, 1<<53+1)
		echoes[uint64](t, f, 0, math.MaxUint64)
		echoes(t, f, []byte("bytes\x00"))
		echoes(t, f, true, false)
		echoes(t, f, map[int32]string{1: "one"})
		echoes[*int](t, f, nil)
		echoes[any](t, f, nil, "text", int64(7), 1.5, []byte{1}, []any{int64(1), nil}, map[any]any{int64(1): "x"})
	}},
	{"Serializable mixin", func(t *testing.T, f feature) { echoes(t, f, temperature{42}) }},
	{"apifunc, plain callables", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("add"), func(a, b int) int { return a + b })
		defer f.exporter.Unexport(f.name("add"))
		if got, err := require[func(int, int) (int, error)](t, f.caller, f.name("add"), f.with)(1, 2); got != 3 || err != nil {
			t.Error(got, err)
		}
	}},
	{"apiclass: calling the class constructs a remote instance", func(t *testing.T, f feature) {
		closed := make(chan *Counter, 1)
		if _, err := f.exporter.ExportClass(f.name("Counter"), func(n int64) *Counter {
			c := &Counter{closed: closed}
			c.n.Store(n)
			return c
		}); err != nil {
			t.Fatal(err)
		}
		defer f.exporter.Unexport(f.name("Counter"))
		ofClass := f.name("Counter") + ".Max"
		export(t, f.exporter, ofClass, func() int64 { return 42 })
		defer f.exporter.Unexport(ofClass)
		ctx := testContext(t)
		if got, err := require[func() (int64, error)](t, f.caller, ofClass, f.with)(); got != 42 || err != nil {
			t.Errorf("a function of the class: %v, %v", got, err)
		}
		c, err := require[newCounter](t, f.caller, f.name("Counter"), f.with)(ctx, 5)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Add(ctx, 1); got != 6 || err != nil {
			t.Error(got, err)
		}
		release(ctx, t, &c.Object)
		receive(t, closed, "the object's Close")
	}},
	{"@noresp method", func(t *testing.T, f feature) {
		got := make(chan int, 1)
		export(t, f.exporter, f.name("note"), func(n int) { got <- n })
		defer f.exporter.Unexport(f.name("note"))
		if err := require[func(int) error](t, f.caller, f.name("note"), f.with, host.WithOneWay())(7); err != nil || receive(t, got, "the call without an answer") != 7 {
			t.Error(err)
		}
	}},
	{"await svc(…), svc.sync(…), svc.task(…), svc.cb(…, callback=)", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("half"), func(n int) int { return n / 2 })
		defer f.exporter.Unexport(f.name("half"))
		future := require[func(int) *host.Future[int]](t, f.caller, f.name("half"), f.with)(8)
		if got, err := future.Wait(testContext(t)); got != 4 || err != nil {
			t.Error(got, err)
		}
		called := make(chan int)
		future.Then(func(n int, _ error) { called <- n })
		if n := receive(t, called, "the callback"); n != 4 {
			t.Error(n)
		}
	}},
	{"Host(label), host.id", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("x"), func() {})
		defer f.exporter.Unexport(f.name("x"))
		require[func() error](t, f.caller, f.name("x"), f.with)
		p := f.caller.Providers(f.name("x"))
		if len(p) != 1 || p[0].HostID != f.exporter.ID() || p[0].Label != f.exporter.Label() {
			t.Errorf("%+v", p)
		}
	}},
	{"export(service, metadata); re-announced to every peer", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("m"), func() {}, host.WithMetadata(map[string]string{"k": "v"}), host.WithVersion("1"))
		defer f.exporter.Unexport(f.name("m"))
		require[func() error](t, f.caller, f.name("m"), f.with)
		if p := f.caller.Providers(f.name("m")); len(p) != 1 || p[0].Metadata["k"] != "v" || p[0].Version != "1" {
			t.Errorf("%+v", p)
		}
	}},
	{"require(service, host_id=None): waits until someone exports it; the named host", func(t *testing.T, f feature) {
		required := make(chan error)
		go func() {
			fn, err := host.Require[func() (int, error)](testContext(t), f.caller, f.name("late"), f.with,
				host.WithPicker(host.OnHost(f.exporter.ID())))
			if err == nil {
				_, err = fn()
			}
			required <- err
		}()
		export(t, f.exporter, f.name("late"), func() int { return 1 })
		defer f.exporter.Unexport(f.name("late"))
		if err := receive(t, required, "the end of Require"); err != nil {
			t.Error(err)
		}
	}},
	{"call(service, args, kwargs), positional and keyword arguments", func(t *testing.T, f feature) {
		if !f.dynamic() {
			return // a typed call has its arguments by position
		}
		export(t, f.exporter, f.name("sub"), func(a, b int) int { return a - b }, host.WithParams("a", "b"))
		defer f.exporter.Unexport(f.name("sub"))
		require[func(int, int) (int, error)](t, f.caller, f.name("sub"), f.with)
		if got, err := host.Call[int](testContext(t), f.caller, f.name("sub"), 7, host.Kwargs{"b": 2}, f.with); got != 5 || err != nil {
			t.Error(got, err)
		}
	}},
	{"both ends of a link export and require, whoever dialled", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("there"), func(n int) (int, error) {
			back, err := host.Require[func(int) (int, error)](testContext(t), f.exporter, f.name("back"), f.with)
			if err != nil {
				return 0, err
			}
			return back(n + 1)
		})
		defer f.exporter.Unexport(f.name("there"))
		export(t, f.caller, f.name("back"), func(n int) int { return 10 * n })
		defer f.caller.Unexport(f.name("back"))
		if got, err := require[func(int) (int, error)](t, f.caller, f.name("there"), f.with)(1); got != 20 || err != nil {
			t.Error(got, err)
		}
	}},
	{"RemoteExecutionError(type name)", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("fail"), func() error { return &json.SyntaxError{} })
		defer f.exporter.Unexport(f.name("fail"))
		err := require[func() error](t, f.caller, f.name("fail"), f.with)()
		e, ok := errors.AsType[*host.Error](err)
		if !ok || e.Exception() != "json.SyntaxError" || !e.Remote() {
			t.Errorf("%v", err)
		}
	}},
	{"not in the original: streams and callbacks", func(t *testing.T, f feature) {
		export(t, f.exporter, f.name("each"), func(ctx context.Context, double func(int) (int, error)) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range 3 {
					if !yield(double(i)) {
						return
					}
				}
			}
		})
		defer f.exporter.Unexport(f.name("each"))
		each := require[func(context.Context, func(int) int) (iter.Seq2[int, error], error)](t, f.caller, f.name("each"), f.with)
		numbers, err := each(testContext(t), func(n int) int { return 2 * n })
		if err != nil {
			t.Fatal(err)
		}
		if got, err := collect(t, numbers); fmt.Sprint(got) != "[0 2 4]" || err != nil {
			t.Error(got, err)
		}
	}},
}

// Each row of the table of what carp does, over each transport, in either direction
// and in one host, with each codec.
func TestFeatures(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		for _, codec := range typedToo {
			for _, row := range features {
				t.Run(codec+"/"+row.original, func(t *testing.T) {
					row.show(t, feature{exporter, caller, codec, host.WithCodec(codec), nextID.Add(1)})
				})
			}
		}
	})
}

// "stop()", "HostExitNotify" and the events of the original, and "local call when the
// service is in the same host, with the same copy semantics".
func TestFeatureLocalCopies(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "scribble", func(list []int, m map[string]int, p *point) ([]int, error) {
		list[0], m["x"], p.X = 99, 99, 99
		return list, nil
	})
	scribble := require[func([]int, map[string]int, *point) ([]int, error)](t, h, "scribble")
	list, m, p := []int{1}, map[string]int{"x": 1}, &point{X: 1}
	got, err := scribble(list, m, p)
	if err != nil || got[0] != 99 || list[0] != 1 || m["x"] != 1 || p.X != 1 {
		t.Errorf("%v, %v, %v, %v, %v", got, list, m, p, err)
	}
}
