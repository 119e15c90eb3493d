package host_test

import (
	"context"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Shelf is a class that a codec could copy.
type Shelf struct{ Books int }

func (s *Shelf) Count() int { return s.Books }

type library struct {
	Name    string
	Shelves []any
}

// Objects inside of other values don't travel as copies of themselves: it is an error
// where the type shows it, at the export or when it is required.
func TestNestedObjectsAreRefused(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	if _, err := h.ExportClass("Shelf", func() *Shelf { return new(Shelf) }); err != nil {
		t.Fatal(err)
	}
	const want = "is an object that travels as a reference"
	type remoteShelf struct {
		host.Object
		Count func() (int, error)
	}
	for name, f := range map[string]any{
		"list":       func() []*Shelf { return nil },
		"map":        func() map[string]*Shelf { return nil },
		"struct":     func() struct{ Shelf *Shelf } { return struct{ Shelf *Shelf }{} },
		"argument":   func([]*Shelf) {},
		"variadic":   func(...*Shelf) {},
		"parameters": func(struct{ Shelves []*Shelf }) {},
		"stream":     func() iter.Seq[*Shelf] { return nil },
		"proxies":    func([]*remoteShelf) {},
		"callback":   func(func([]*Shelf)) {},
	} {
		_, err := h.Export(name, f)
		checkError(t, err, want)
	}
	_, err := host.Require[func() ([]*remoteShelf, error)](expired(), h, "Shelf")
	checkError(t, err, want)
	_, err = host.Require[func([]*Shelf) error](expired(), h, "Shelf")
	checkError(t, err, want)
	_, err = host.Call[[]*host.Object](testContext(t), h, "Shelf")
	checkError(t, err, want)
}

// Where the type doesn't show it the call fails, whoever sends, and the function of a
// call that is refused doesn't run.
func TestNestedObjectsAreNotCopied(t *testing.T) {
	const want = "is an object that travels as a reference"
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		if _, err := exporter.ExportClass("Shelf", func() *Shelf { return &Shelf{7} }); err != nil {
			t.Fatal(err)
		}
		defer exporter.Unexport("Shelf")
		var ran atomic.Int64
		names := map[string]func() any{
			"bare":   func() any { return &Shelf{1} },
			"list":   func() any { return []any{1, []any{&Shelf{1}}} },
			"map":    func() any { return map[string]any{"a": &Shelf{1}} },
			"struct": func() any { return library{Shelves: []any{&Shelf{1}}} },
		}
		for name, f := range names {
			export(t, exporter, "give."+name, f)
			defer exporter.Unexport("give." + name)
		}
		export(t, exporter, "flow", func() iter.Seq[any] {
			return func(yield func(any) bool) { _ = yield("first") && yield(&Shelf{1}) }
		})
		defer exporter.Unexport("flow")
		export(t, exporter, "take", func(any) { ran.Add(1) })
		defer exporter.Unexport("take")
		ctx := testContext(t)
		require[func(context.Context, any) error](t, caller, "take")
		for name := range names {
			_, err := host.Call[any](ctx, caller, "give."+name)
			if status.Code(err) != codes.Internal {
				t.Errorf("%s: %v", name, err)
			}
			checkError(t, err, want)
		}
		n := 0
		for v, err := range host.Stream[any](ctx, caller, "flow") {
			switch n++; n {
			case 1:
				if v != "first" || err != nil {
					t.Errorf("the first value: %v, %v", v, err)
				}
			default:
				checkError(t, err, want)
			}
		}
		shelf, err := host.Call[*host.Object](ctx, caller, "Shelf")
		if err != nil {
			t.Fatal(err)
		}
		take := require[func(context.Context, any) error](t, caller, "take")
		for name, arg := range map[string]any{
			"an object in a list": []any{shelf}, "in a map": map[string]any{"x": shelf}, "in a struct": library{Shelves: []any{shelf}},
			"a function in a list": []any{func() {}},
		} {
			for how, err := range map[string]error{
				"required": take(ctx, arg),
				"dynamic":  func() error { _, err := host.Call[any](ctx, caller, "take", arg); return err }(),
			} {
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "by itself") {
					t.Errorf("%s, %s: %v", name, how, err)
				}
			}
		}
		if n := ran.Load(); n != 0 {
			t.Errorf("the function ran %d times", n)
		}
		if err := take(ctx, []any{1, "x", map[any]any{"y": []byte{1}}, nil}); err != nil || ran.Load() != 1 {
			t.Errorf("a value: %v", err)
		}
		release(ctx, t, shelf)
	})
}
