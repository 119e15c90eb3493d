package host_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Counter is a class.
type Counter struct {
	n      atomic.Int64
	closed chan *Counter
	block  chan struct{}
}

func (c *Counter) Add(n int64) int64        { return c.n.Add(n) }
func (c *Counter) Merge(other *Counter)     { c.n.Add(other.n.Load()) }
func (c *Counter) Self() *Counter           { return c }
func (c *Counter) Same(other *Counter) bool { return c == other }

// Wait runs until it is allowed to end.
func (c *Counter) Wait(begun func() error) error {
	if err := begun(); err != nil {
		return err
	}
	<-c.block
	return nil
}

func (c *Counter) Close() error {
	c.closed <- c
	return nil
}

// remoteCounter is a Counter elsewhere.
type remoteCounter struct {
	host.Object
	Add   func(context.Context, int64) (int64, error)
	Merge func(context.Context, *remoteCounter) error
	Self  func(context.Context) (*remoteCounter, error)
	Same  func(context.Context, *remoteCounter) (bool, error)
	Wait  func(context.Context, func()) error
}

type newCounter = func(context.Context, int64) (*remoteCounter, error)

// exportCounter exports the class. The channels hear of Close, and end Wait.
func exportCounter(t *testing.T, h *host.Host) (closed chan *Counter, block chan struct{}) {
	t.Helper()
	closed, block = make(chan *Counter, 100), make(chan struct{})
	_, err := h.ExportClass("Counter", func(start int64) (*Counter, error) {
		if start < 0 {
			return nil, errOutOfStock
		}
		c := &Counter{closed: closed, block: block}
		c.n.Store(start)
		return c, nil
	}, host.WithParams("start"))
	if err != nil {
		t.Fatal(err)
	}
	export(t, h, "Counter.Max", func() int { return 42 })
	t.Cleanup(func() {
		if err := h.Unexport("Counter"); err != nil {
			t.Error(err)
		}
		if err := h.Unexport("Counter.Max"); err != nil {
			t.Error(err)
		}
	})
	return closed, block
}

// Objects are made, called, passed as references both ways, and released, over
// every wire and codec.
func TestObjects(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		closed, _ := exportCounter(t, exporter)
		ctx := testContext(t)
		for _, codec := range typedToo {
			create := require[newCounter](t, caller, "Counter", host.WithCodec(codec))
			if _, err := create(ctx, -1); !errors.Is(err, errOutOfStock) {
				t.Errorf("%s: a constructor that fails: %v", codec, err)
			}
			a, err := create(ctx, 5)
			if err != nil {
				t.Fatal(err)
			}
			b, err := create(ctx, 100)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := a.Add(ctx, 1); got != 6 || err != nil {
				t.Errorf("%s: Add: %v, %v", codec, got, err)
			}
			if err := a.Merge(ctx, b); err != nil {
				t.Errorf("%s: Merge: %v", codec, err)
			}
			self, err := a.Self(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := self.Add(ctx, 0); got != 106 || err != nil {
				t.Errorf("%s: the same object: %v, %v", codec, got, err)
			}
			if same, err := a.Same(ctx, self); !same || err != nil {
				t.Errorf("%s: Same: %v, %v", codec, same, err)
			}
			if same, err := a.Same(ctx, nil); same || err != nil {
				t.Errorf("%s: no object: %v, %v", codec, same, err)
			}
			release(ctx, t, &a.Object, &b.Object)
			if n := (<-closed).n.Load(); n != 100 { // self is still there
				t.Errorf("%s: %d was closed", codec, n)
			}
			release(ctx, t, &self.Object, &self.Object)
			if n := (<-closed).n.Load(); n != 106 {
				t.Errorf("%s: %d was closed", codec, n)
			}
			_, err = a.Add(ctx, 1)
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "released") {
				t.Errorf("%s: a released object: %v", codec, err)
			}
			if err := b.Merge(ctx, a); err == nil {
				t.Errorf("%s: a released object as an argument", codec)
			}
		}
		if got, err := host.Call[int](ctx, caller, "Counter.Max"); got != 42 || err != nil {
			t.Errorf("a function of the class: %v, %v", got, err)
		}
		if len(closed) > 0 {
			t.Errorf("%d were closed too often", len(closed))
		}
	})
}

func release(ctx context.Context, t *testing.T, objects ...*host.Object) {
	t.Helper()
	for _, o := range objects {
		if err := o.Release(ctx); err != nil {
			t.Error(err)
		}
	}
}

// Objects of which nothing is known beforehand.
func TestObjectsDynamic(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		closed, _ := exportCounter(t, exporter)
		require[newCounter](t, caller, "Counter")
		ctx := testContext(t)
		for _, codec := range anyCodec {
			with := host.WithCodec(codec)
			o, err := host.Call[*host.Object](ctx, caller, "Counter", host.Kwargs{"start": 7}, with)
			if err != nil {
				t.Fatal(err)
			}
			if o.Class() != "Counter" || o.ID() == "" {
				t.Errorf("%s: a %q, %q", codec, o.Class(), o.ID())
			}
			if got, err := host.CallMethod[int](ctx, o, "Add", 1, with); got != 8 || err != nil {
				t.Errorf("%s: %v, %v", codec, got, err)
			}
			if _, err := host.CallMethod[any](ctx, o, "Merge", o, with); err != nil {
				t.Errorf("%s: %v", codec, err)
			}
			_, err = host.CallMethod[any](ctx, o, "Close", with)
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: Close: %v", codec, err)
			}
			release(ctx, t, o)
			if n := (<-closed).n.Load(); n != 16 {
				t.Errorf("%s: %d was closed", codec, n)
			}
			if _, err := host.CallMethod[int](ctx, o, "Add", 1); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("%s: a released object: %v", codec, err)
			}
		}
		if _, err := host.CallMethod[int](ctx, new(host.Object), "Add", 1); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("the zero Object: %v", err)
		}
		_, err := host.Call[int](ctx, caller, "Counter.Add", 1)
		checkError(t, err, "is a method of an object")
	})
}

// Close waits for the methods that run.
func TestObjectClosesAfterItsMethods(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		closed, block := exportCounter(t, exporter)
		ctx := testContext(t)
		c, err := require[newCounter](t, caller, "Counter")(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		begun, ended := make(chan struct{}), make(chan error)
		go func() { ended <- c.Wait(ctx, func() { close(begun) }) }()
		<-begun
		release(ctx, t, &c.Object)
		select {
		case <-closed:
			t.Error("closed while a method runs")
		default:
		}
		close(block)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-closed
	})
}

// What nobody refers to any more is given back without being asked.
func TestObjectsAreCollected(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		closed, _ := exportCounter(t, exporter)
		create := require[newCounter](t, caller, "Counter")
		const many = 50
		ctx := testContext(t)
		for i := range int64(many) {
			c, err := create(ctx, i)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Add(ctx, 1); got != i+1 || err != nil {
				t.Fatal(got, err)
			}
		}
		for n := 0; n < many; {
			runtime.GC()
			select {
			case <-closed:
				n++
			case <-ctx.Done():
				t.Fatalf("%d of %d objects were given back", n, many)
			default:
				runtime.Gosched()
			}
		}
	})
}

// When a link ends, what was held over it is let go.
func TestObjectsEndWithTheLink(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	closed, _ := exportCounter(t, server)
	ctx := testContext(t)
	c, err := require[newCounter](t, client, "Counter")(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	client.Links()[0].Close()
	if n := (<-closed).n.Load(); n != 3 {
		t.Errorf("%d was closed", n)
	}
	if _, err := c.Add(ctx, 1); status.Code(err) != codes.Unavailable {
		t.Errorf("a method after the end of the link: %v", err)
	}
	release(ctx, t, &c.Object)
}

// An id is worth nothing on another link, and without one nothing is given.
func TestObjectsOfOthers(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	exportCounter(t, server)
	other := newHost(t, "other")
	connect(t, other, listen(t, server, "unix"))
	ctx := testContext(t)
	c, err := require[newCounter](t, client, "Counter")(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := require[newCounter](t, other, "Counter")(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := mine.Merge(ctx, c); err == nil || !strings.Contains(err.Error(), "not passed on") {
		t.Errorf("an object from another link as an argument: %v", err)
	}
	if _, err := host.CallMethod[any](ctx, &mine.Object, "Merge", value.Ref{Class: "Counter", ID: c.ID(), Host: server.ID()}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a stolen id: %v", err)
	}
	if _, err := host.CallMethod[any](ctx, &mine.Object, "Merge", value.Ref{Class: "Counter", ID: mine.ID(), Host: server.ID()}); err != nil {
		t.Errorf("its own id: %v", err)
	}
}

// Without a session nobody could hold an object, or call back: the call is refused
// before it has run, in a way that tells a client to make it again in a session.
func TestReferencesWithoutSession(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	ran := make(chan string, 10)
	if _, err := h.ExportClass("Counter", func(int) *Counter {
		ran <- "the constructor"
		return &Counter{closed: make(chan *Counter, 1)}
	}); err != nil {
		t.Fatal(err)
	}
	export(t, h, "map", func(func() error) { ran <- "the function with a callback" })
	export(t, h, "total", func(*Counter) { ran <- "the function with an object" })
	client := newForeignClient(t, h)
	for path, c := range map[string]struct {
		arg  any
		code codes.Code
	}{
		"/Counter/call": {1, codes.FailedPrecondition},
		"/map/call":     {value.Ref{ID: "x"}, codes.InvalidArgument},
		"/total/call":   {value.Ref{Class: "Counter", ID: "x"}, codes.InvalidArgument},
	} {
		_, trailer, err := client.call(testContext(t), path, tag{subtype: "msgpack"}, packed(t, []any{c.arg}))
		if status.Code(err) != c.code || !strings.Contains(err.Error(), "carp-session") {
			t.Errorf("%s: %v", path, err)
		}
		if got := trailer.Get("carp-wants-session"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s: carp-wants-session is %q", path, got)
		}
	}
	if len(ran) > 0 {
		t.Errorf("%s has run", <-ran)
	}
}

func TestMaxObjects(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		closed, _ := exportCounter(t, exporter)
		create := require[newCounter](t, caller, "Counter")
		ctx := testContext(t)
		var all []*remoteCounter
		for range 2 {
			c, err := create(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		if _, err := create(ctx, 0); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one too many: %v", err)
		}
		receive(t, closed, "the end of the one that nobody holds")
		if _, err := all[0].Self(ctx); err != nil {
			t.Errorf("another reference to the same object: %v", err)
		}
		release(ctx, t, &all[1].Object)
		receive(t, closed, "the end of a released one")
		if _, err := create(ctx, 0); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		runtime.KeepAlive(all)
	}, host.WithMaxObjects(2))
}

func TestExportClassRefuses(t *testing.T) {
	h := newHost(t, "h")
	// What takes the type for a value would go on copying objects.
	newLate := func() *late { return nil }
	for i, fn := range []any{func(*late) {}, func(int, ...int) (*late, error) { return nil, nil }, newLate} {
		export(t, h, "uses", fn)
		_, err := h.ExportClass("Late", newLate)
		checkError(t, err, "uses is exported, and has *host_test.late for a value")
		if err := h.Unexport("uses"); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := h.ExportClass("Late", newLate); err != nil {
		t.Error(err)
	}
	export(t, h, "uses", func(*late) {})
	if _, err := h.ExportClass("Late", newLate, host.WithReplace()); err != nil {
		t.Errorf("with a function that takes references: %v", err)
	}
	for want, constructor := range map[string]any{
		"there is no constructor":    nil,
		"doesn't return one pointer": func() int { return 0 },
		"parameter arg0: chan int":   func(chan int) *Counter { return nil },
	} {
		_, err := h.ExportClass("C", constructor)
		checkError(t, err, want)
	}
	if _, err := h.ExportClass("C", func() *Counter { return nil }, host.WithAPI[interface{ Add(int64) int64 }]()); err != nil {
		t.Fatal(err)
	}
	_, err := h.ExportClass("D", func() *Counter { return nil })
	checkError(t, err, `is the class "C" already`)
	o, err := host.Call[*host.Object](testContext(t), h, "C")
	if err != nil || o != nil {
		t.Errorf("a constructor that returns nil: %v, %v", o, err)
	}
}

// A function that is passed as an argument is called by the callee, as long as the
// call lasts.
func TestCallbacks(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		var kept func(int) (string, error)
		export(t, exporter, "each", func(ctx context.Context, n int, f func(int) (string, error)) ([]string, error) {
			var all []string
			if f == nil {
				return []string{"nil"}, nil
			}
			for i := range n {
				s, err := f(i)
				if err != nil {
					return all, err
				}
				all = append(all, s)
			}
			kept = f
			return all, nil
		})
		defer exporter.Unexport("each")
		ctx := testContext(t)
		for _, codec := range typedToo {
			each := require[func(context.Context, int, func(int) (string, error)) ([]string, error)](t, caller, "each", host.WithCodec(codec))
			got, err := each(ctx, 3, func(i int) (string, error) { return fmt.Sprint("#", i), nil })
			if fmt.Sprint(got) != "[#0 #1 #2]" || err != nil {
				t.Errorf("%s: %v, %v", codec, got, err)
			}
			if _, err := kept(0); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("%s: after its call: %v", codec, err)
			}
			if _, err := each(ctx, 3, func(int) (string, error) { return "", errOutOfStock }); !errors.Is(err, errOutOfStock) {
				t.Errorf("%s: a callback that fails: %v", codec, err)
			}
			if got, err := each(ctx, 3, nil); fmt.Sprint(got) != "[nil]" || err != nil {
				t.Errorf("%s: no callback: %v, %v", codec, got, err)
			}
			if codec == "proto" {
				continue
			}
			got, err = host.Call[[]string](ctx, caller, "each", 2, func(i int) string { return fmt.Sprint(i) }, host.WithCodec(codec))
			if fmt.Sprint(got) != "[0 1]" || err != nil {
				t.Errorf("%s, dynamic: %v, %v", codec, got, err)
			}
		}
	})
}

// A retained callback outlives its call, until it is given back.
func TestRetain(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		var kept func(int) error
		var giveBack func()
		export(t, exporter, "subscribe", func(ctx context.Context, f func(int) error) (err error) {
			kept = f
			giveBack, err = host.Retain(ctx)
			return err
		})
		defer exporter.Unexport("subscribe")
		got := make(chan int, 1)
		subscribe := require[func(context.Context, func(int)) error](t, caller, "subscribe")
		if err := subscribe(testContext(t), func(n int) { got <- n }); err != nil {
			t.Fatal(err)
		}
		if err := kept(7); err != nil || <-got != 7 {
			t.Error(err)
		}
		giveBack()
		giveBack()
		if err := kept(8); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("given back: %v", err)
		}
	})
	if _, err := host.Retain(context.Background()); err == nil {
		t.Error("nothing to retain")
	}
}

// Without a link nobody could call back.
func TestCallbackWithoutLink(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "f", func(func() error) {})
	body := packed(t, []any{value.Ref{ID: "x"}})
	_, _, err := newForeignClient(t, h).call(testContext(t), "/f/call", tag{subtype: "msgpack"}, body)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "link or session") {
		t.Errorf("%v", err)
	}
	err = host.Post(testContext(t), h, "f", func() {})
	checkError(t, err, "can't be called one-way")
	_, err = host.Require[func(func()) error](expired(), h, "f", host.WithOneWay())
	checkError(t, err, "nothing follows it")
}
