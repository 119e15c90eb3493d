package host

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/internal/raw"
)

type (
	small struct{ A int8 }
	wide  struct{ A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P int64 }
	large struct {
		X, Y, Z wide
		B       string
		C       map[string]*large
	}
	tree struct {
		Left, Right *tree
		Of          []tree
	}
	own  struct{ n int }
	many struct {
		Params
		A, B, C, D, E, F, G, H []large
	}
)

func (own) EncodeValue() (any, error) { return "own", nil }

func (o *own) DecodeValue(decode func(any) error) error {
	var list []any
	err := decode(&list)
	o.n = len(list)
	return err
}

// signatures are functions of all kinds of parameters. They return nothing: what a
// function makes of its arguments is its own affair.
var signatures = []any{
	func() {},
	func(context.Context, int, string, bool, float64) {},
	func(uint8, int64, float32, *bool) {},
	func(any) {},
	func(any, map[any]any) {},
	func(...any) {},
	func(...int8) {},
	func(...large) {},
	func(...[]large) {},
	func(string, ...map[string]large) {},
	func([]byte, [16]byte) {},
	func([]any) {},
	func([]string) {},
	func([][]byte) {},
	func([][]int16) {},
	func([]struct{}) {},
	func([]small, map[string]small) {},
	func([]large) {},
	func([]*large) {},
	func(map[string]large) {},
	func(map[int64]map[string][]any) {},
	func(tree) {},
	func([4]large) {},
	func(...[1000]int64) {},
	func(*large, *large, *tree, []*[100]int64) {},
	func(time.Time, time.Duration, value.Date) {},
	func([]time.Time) {},
	func(value.Named, *value.Ref) {},
	func([]value.Ref) {},
	func([]own, own) {},
	func(many) {},
	func(func(int) error) {},
	func(int, iter.Seq[[]large]) {},
	func(iter.Seq2[any, error]) {},
}

// replies answers each call with a body that is given.
type replies struct{ body *[]byte }

func (r replies) serve(c *call) error {
	if msg, err := c.receiveOne(); err == nil {
		msg.Free()
	}
	return c.send(raw.Of(*r.body))
}

func (replies) announce(name string) *carpv1.Method { return &carpv1.Method{Name: name} }

// victim is a host with the functions, and functions that it requires and whose replies
// are what a test says.
type victim struct {
	h        *Host
	served   []string
	required map[string][]func() error // by codec
	reply    []byte
	panicked atomic.Pointer[PanicInfo]
}

var bodyCodecs = []string{"msgpack", "json", "carp", "proto"}

func newVictim(tb testing.TB) *victim {
	tb.Helper()
	v := &victim{required: make(map[string][]func() error)}
	h, err := New("victim", WithLogger(slog.New(slog.DiscardHandler)), WithTimeout(time.Hour),
		WithHooks(Hooks{Panic: func(_ context.Context, p PanicInfo) { v.panicked.Store(&p) }}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { h.Close() })
	v.h = h
	for i, fn := range signatures {
		name := fmt.Sprint("f", i)
		if _, err := h.Export(name, fn); err != nil {
			tb.Fatal(err)
		}
		v.served = append(v.served, "/"+name+"/call")
	}
	h.exports.paths.Store("/replies/call", replies{&v.reply})
	for _, codec := range bodyCodecs {
		v.require(tb, codec)
	}
	return v
}

// require requires functions with one result of all kinds, and one with many.
func (v *victim) require(tb testing.TB, codec string) {
	tb.Helper()
	add(tb, v, codec, one[int])
	add(tb, v, codec, one[any])
	add(tb, v, codec, one[[]large])
	add(tb, v, codec, one[[]string])
	add(tb, v, codec, one[map[string]tree])
	add(tb, v, codec, one[[]*small])
	if codec != "proto" { // which has no form for these
		add(tb, v, codec, one[own])
		add(tb, v, codec, one[map[any]any])
	}
	add(tb, v, codec, func(f func() (large, []large, []any, map[string]any, []tree, []string, error)) error {
		_, _, _, _, _, _, err := f()
		return err
	})
	add(tb, v, codec, func(f func() iter.Seq2[[]large, error]) (err error) {
		for _, err = range f() {
		}
		return err
	})
}

func one[T any](f func() (T, error)) error {
	_, err := f()
	return err
}

func add[F any](tb testing.TB, v *victim, codec string, call func(F) error) {
	tb.Helper()
	f, err := Require[F](tb.Context(), v.h, "replies", WithCodec(codec))
	if err != nil {
		tb.Fatal(err)
	}
	v.required[codec] = append(v.required[codec], func() error { return call(f) })
}
