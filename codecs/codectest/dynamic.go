package codectest

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// exactFloats compares floating-point numbers by their bits, but takes every NaN
// for the same.
var exactFloats = cmp.Options{
	cmp.Comparer(func(a, b float64) bool {
		return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
	}),
	cmp.Comparer(func(a, b float32) bool {
		return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
	}),
}

// dynamicCase is a value that, decoded into an any, is want; or in itself.
type dynamicCase struct {
	rule     string
	in, want any
}

var instant = time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)

var dynamicCases = []dynamicCase{
	{"null is nil", nil, nil},
	{"truth values stay", true, nil},
	{"truth values stay", false, nil},

	{"an int is an int64", 1, int64(1)},
	{"a small unsigned integer is an int64 too", uint64(1), int64(1)},
	{"a byte is an integer", uint8(200), int64(200)},
	{"integers are exact at every length of their encodings", []any{
		int64(0), int64(127), int64(128), int64(255), int64(256), int64(65535), int64(65536),
		int64(math.MaxUint32), int64(math.MaxUint32 + 1), int64(math.MaxInt64),
		int64(-1), int64(-32), int64(-33), int64(-128), int64(-129), int64(-32768), int64(-32769),
		int64(math.MinInt32), int64(math.MinInt32 - 1), int64(math.MinInt64),
	}, nil},
	{"integers beyond 2^53 are exact", int64(1<<53 + 1), nil},
	{"integers from 2^63 are uint64", uint64(1 << 63), nil},
	{"the largest integer is exact", uint64(math.MaxUint64), nil},

	{"floating point stays floating point, though it is whole", 1.0, nil},
	{"floats are exact", []any{
		0.1, -1.5, math.Pi, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 1e20, 123456789012345680000.0, 1e-7,
	}, nil},
	{"negative zero is not zero", math.Copysign(0, -1), nil},
	{"a float32 is the float64 of the same value", float32(0.1), float64(float32(0.1))},

	{"text stays", "", nil},
	{"text is Unicode", "\x00\x1f\"\\/\b\n\u2028é世界𝄞\uFFFD", nil},
	{"text stays at every length of its encodings", []any{
		strings.Repeat("a", 31), strings.Repeat("b", 32), strings.Repeat("c", 255), strings.Repeat("d", 256),
	}, nil},

	{"bytes are no text", []byte("abc"), nil},
	{"bytes need not be Unicode", []byte{0xff, 0x00, 0x80}, nil},
	{"empty bytes are not null", []byte{}, nil},
	{"nil bytes are null", []byte(nil), dynamicNull},

	{"lists keep their order", []any{int64(1), "two", nil, []any{}}, nil},
	{"an empty list is not null", []any{}, nil},
	{"a nil list is null", []string(nil), dynamicNull},
	{"a list of anything is a list", []int{1, 2}, []any{int64(1), int64(2)}},
	{"an array is a list", [2]bool{true, false}, []any{true, false}},

	{"a map with text keys is a map[string]any", map[string]any{"": int64(1), "a b": []any{}}, nil},
	{"an empty map is a map[string]any", map[any]any{}, map[string]any{}},
	{"a nil map is null", map[string]int(nil), dynamicNull},
	{"any scalar may be a key, and equal ones of other kinds are others", map[any]any{
		nil: "null", true: "bool", int64(1): "int", uint64(math.MaxUint64): "uint", 1.5: "float", "1": "text",
		value.Bytes("1"): "bytes", instant: "time",
		value.Date{Year: 1, Month: 1, Day: 1}: "date", value.DateTimeOf(instant): "datetime",
	}, nil},
	{"keys that are all text make a map[string]any, whatever they were", map[any]any{"a": true}, map[string]any{"a": true}},
	{"integer keys are int64", map[uint8]string{200: "x"}, map[any]any{int64(200): "x"}},
	{"keys with a dollar sign are keys like any others", map[string]any{
		"$": true, "$bytes": "AA==", "$$": "x", "$ref": map[string]any{"id": "1"}, "a$": nil,
	}, nil},
	{"a map may look like an encoded special value", map[string]any{"$map": []any{[]any{int64(1), int64(2)}}}, nil},

	{"instants keep their nanoseconds", instant, nil},
	{"instants come back in UTC", instant.In(time.FixedZone("X", 3600)), instant},
	{"instants may be before 1970", time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), nil},
	{"instants may be after 2106 and 2514", []any{
		time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC), time.Date(2600, 1, 1, 0, 0, 0, 5, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	}, nil},
	{"whole seconds are instants", time.Unix(1700000000, 0).UTC(), nil},
	{"a monotonic clock reading is not part of an instant", time.Unix(0, 0), time.Unix(0, 0).UTC()},

	{"a date is no instant", value.Date{Year: 2024, Month: 2, Day: 29}, nil},
	{"dates have four digits of year", []any{
		value.Date{Year: 1, Month: 1, Day: 1}, value.Date{Year: 9999, Month: 12, Day: 31},
	}, nil},
	{"a date and time without zone keeps its nanoseconds", value.DateTimeOf(instant), nil},
	{"midnight is a time", value.DateTime{Date: value.Date{Year: 2000, Month: 1, Day: 1}}, nil},

	{"references keep class, id and host", value.Ref{Class: "Counter", ID: "\x01é", Host: "h"}, nil},
	{"a reference needs only an id", value.Ref{ID: "1"}, nil},
	{"named values keep their names", value.Named{Name: "shapes.Circle", Value: map[string]any{"r": 1.5}}, nil},
	{"named values may be inside of each other's lists", value.Named{Name: "a", Value: []any{
		value.Named{Name: "b", Value: nil}, value.Named{Name: "c", Value: []any{}},
	}}, nil},

	{"a pointer is what it points to", pointerTo(pointerTo(5)), int64(5)},
	{"a nil pointer is null", (*int)(nil), dynamicNull},
	{"a named type is what it is made of", time.Duration(5), int64(5)},
	{"a type that marshals itself to text is text", textual{"x"}, "text:x"},
}

// dynamicNull is a want of nil.
var dynamicNull = new(struct{ null bool })

func (c dynamicCase) wanted() any {
	switch {
	case c.want == any(dynamicNull):
		return nil
	case c.want == nil:
		return c.in
	default:
		return c.want
	}
}

func dynamicValues(t *testing.T, c Codec) {
	for _, tc := range dynamicCases {
		var got any = "left over"
		c.roundTrip(t, tc.in, &got)
		same(t, tc.rule, tc.wanted(), got)

		// The same as an element and as a field, whose ways are others.
		var list []any
		c.roundTrip(t, []any{tc.in, tc.in}, &list)
		same(t, tc.rule+" (in a list)", []any{tc.wanted(), tc.wanted()}, list)
		var fields struct{ A, B any }
		c.roundTrip(t, struct{ A, B any }{tc.in, tc.in}, &fields)
		same(t, tc.rule+" (in a struct)", struct{ A, B any }{tc.wanted(), tc.wanted()}, fields)
	}
	for _, f := range []any{math.Inf(1), math.Inf(-1), math.NaN(), float32(math.Inf(1))} {
		if c.FiniteOnly {
			_, err := c.Marshal([]any{f})
			wantError(t, "what has no form is refused", err, "[0]", "")
			continue
		}
		var got any
		c.roundTrip(t, f, &got)
		if f32, ok := f.(float32); ok {
			f = float64(f32)
		}
		same(t, "infinities and NaN are floats", f, got)
	}
	for _, year := range []int{0, -4000, 10_000, 200_000} {
		in := time.Date(year, 6, 1, 0, 0, 0, 7, time.UTC)
		if c.Years9999 {
			_, err := c.Marshal([]any{in})
			wantError(t, "what has no form is refused", err, "[0]", "years 1 to 9999")
			continue
		}
		var got any
		c.roundTrip(t, in, &got)
		same(t, "instants may be in any year", in, got)
	}
}

func pointerTo[T any](v T) *T { return &v }

func manyInts(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

func manyKeys(n int) map[string]any {
	m := make(map[string]any, n)
	for i := range n {
		m["key"+string(rune('a'+i%26))+time.Duration(i).String()] = nil
	}
	return m
}

// textual is text by its own methods.
type textual struct{ s string }

func (x textual) MarshalText() ([]byte, error) { return []byte("text:" + x.s), nil }
func (x *textual) UnmarshalText(b []byte) error {
	x.s = strings.TrimPrefix(string(b), "text:")
	return nil
}
