package codectest

import (
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/codecs/codectest/testpb"
)

// Fuzz lets f find bytes on which the codec panics, allocates more than it may, or
// accepts a value that it can't give back. What the suite encodes is its first
// corpus, besides the seeds.
//
// It must not run in parallel with anything else, since it measures allocations.
func Fuzz(f *testing.F, c Codec, seeds ...[]byte) {
	for _, tc := range dynamicCases {
		if data, err := c.Marshal(tc.in); err == nil {
			f.Add(data)
		}
		if data, err := c.AppendArgs(nil, valuesOf(tc.in, tc.in), nil); err == nil {
			f.Add(data)
		}
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Bounded(t, c, data)
	})
}

// Bounded checks what [Fuzz] checks, on data.
func Bounded(t *testing.T, c Codec, data []byte) {
	t.Helper()
	targets := c.targets()
	if len(data) > 64<<10 {
		targets = targets[:largeTargets]
	} else {
		c.again(t, data)
	}
	for _, target := range targets {
		c.decodeBounded(t, data, target)
	}
	c.splitBounded(t, data)
}

// largeTargets is how many of the targets are tried with much data, which takes
// its time.
const largeTargets = 4

// targets are what bytes are decoded into. JSON leaves messages to protojson, which
// has no bound.
func (c Codec) targets() []any {
	type record struct {
		A int8
		B *string
		C []uint16
		D map[int]any
		E [4]byte
		F float32
		G *record
	}
	targets := []any{
		new(any), new([]record), new(map[int]record), new([]map[string][]string), // largeTargets of them
		new([]any), new(map[string]any), new(map[any]string), new([]int8), new(record),
		new(string), new([]byte), new(map[string]record), new(shape),
	}
	if c.Name() != "json" {
		targets = append(targets, new(testpb.All), new([]*testpb.All))
	}
	return targets
}

const (
	// allocFactor and allocSlack are what decoding may allocate: so many times
	// the size of the data, and so much besides, for what is made once, what
	// is made for an error, and what the test itself does.
	allocFactor = 64
	allocSlack  = 256 << 10
)

func bounded(t *testing.T, what string, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(allocFactor*size+allocSlack); got > limit {
		t.Errorf("%s of %d bytes allocates %d bytes, %d times as much", what, size, got, got/uint64(max(size, 1)))
	}
}

func (c Codec) decodeBounded(t *testing.T, data []byte, target any) {
	t.Helper()
	bounded(t, "Unmarshal into "+reflect.TypeOf(target).String(), len(data), func() {
		_ = c.Unmarshal(data, target) // whether it is accepted is not the question
	})
}

// splitBounded decodes the arguments of a body.
func (c Codec) splitBounded(t *testing.T, body []byte) {
	t.Helper()
	bounded(t, "Split and Decode", len(body), func() {
		all, err := c.Split(body)
		if err != nil {
			return
		}
		for _, raw := range all.Positional {
			_ = c.Decode(raw, reflect.New(reflect.TypeFor[any]()).Elem())
		}
		for _, arg := range all.Named {
			_ = c.Decode(arg.Raw, reflect.New(reflect.TypeFor[any]()).Elem())
		}
	})
}

// again checks that a value that was accepted can be encoded and comes back.
func (c Codec) again(t *testing.T, data []byte) {
	t.Helper()
	var first, second any
	if c.Unmarshal(data, &first) != nil {
		return
	}
	encoded, err := c.Marshal(first)
	if err != nil {
		t.Fatalf("%q is accepted as %#v, which can't be encoded: %v", data, first, err)
	}
	if err := c.Unmarshal(encoded, &second); err != nil {
		t.Fatalf("%q is accepted as %#v and encoded as %q, which is refused: %v", data, first, encoded, err)
	}
	if !cmp.Equal(first, second, exactFloats) {
		t.Fatalf("%q is accepted as %#v, and comes back as %#v", data, first, second)
	}
}
