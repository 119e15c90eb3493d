package codectest

import (
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/codecs/value"
)

type (
	myInt    int16
	myString string
	myBytes  []byte
	tree     struct {
		Left, Right *tree
		Values      []float32
	}
)

// typed are values that come back the same when decoded into their own type.
var typed = []any{
	true, int(-5), int8(-128), int16(-32768), int32(math.MinInt32), int64(math.MinInt64),
	uint(5), uint8(255), uint16(65535), uint32(math.MaxUint32), uint64(math.MaxUint64),
	float32(0.1), float32(math.MaxFloat32), 0.1, "x", myInt(-7), myString("y"), time.Duration(-1),
	[]byte{}, []byte{1, 2}, []byte(nil), myBytes("z"), [3]byte{1, 2, 3}, [0]byte{},
	[]int(nil), []int{}, []int{1, -2}, [2]string{"a", "b"}, [][]uint16{{1}, nil, {}}, []myInt{1}, []any{"x", nil},
	map[string]int(nil), map[string]int{}, map[string]int{"a": 1}, map[myString][]byte{"k": {1}},
	map[int8]string{-128: "x"}, map[uint64]bool{math.MaxUint64: true}, map[float64]int{1.5: 1}, map[bool]int{true: 1},
	map[[2]byte]int{{1, 2}: 3}, map[value.Date]int{{Year: 2000, Month: 1, Day: 1}: 1}, map[value.Bytes]int{"\xff": 1},
	map[time.Time]string{instant: "x"}, map[netip.Addr]string{netip.MustParseAddr("::1"): "home"},
	map[any]int{"a": 1, int64(2): 2, nil: 3}, map[string]map[int]string{"a": {1: "b"}},
	instant, value.Date{Year: 2024, Month: 2, Day: 29}, value.DateTimeOf(instant), value.Bytes("\xfe"),
	value.Ref{Class: "C", ID: "1", Host: "h"}, value.Named{Name: "n", Value: int64(1)},
	pointerTo(5), (*int)(nil), pointerTo(pointerTo("x")), []*int{nil, pointerTo(1)},
	*big.NewInt(0).Exp(big.NewInt(10), big.NewInt(30), nil), big.NewInt(-5), netip.MustParsePrefix("10.0.0.0/8"),
	textual{"t"}, tree{Left: &tree{Values: []float32{1.5}}}, struct{}{},
}

func typedValues(t *testing.T, c Codec) {
	for _, in := range typed {
		out := reflect.New(reflect.TypeOf(in))
		c.roundTrip(t, in, out.Interface())
		if diff := cmp.Diff(in, out.Elem().Interface(), exactFloats, compareBig,
			cmp.AllowUnexported(textual{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("a %T comes back as it was (-want +got)\n%s", in, diff)
		}
	}
	c.conversions(t)
	c.overwrites(t)
}

var compareBig = cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 })

// conversions checks numbers of one kind where the other is wanted.
func (c Codec) conversions(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		in, want any
	}{
		{"a whole float fits an integer", 2.0, int8(2)},
		{"a large whole float fits an integer", float64(1 << 62), int64(1 << 62)},
		{"the most negative integer is a float too", -0x1p63, int64(math.MinInt64)},
		{"a float from 2^63 fits a uint64", 0x1p63, uint64(1 << 63)},
		{"an integer fits a float that holds it", int64(1 << 53), float64(1 << 53)},
		{"a large integer fits a float that holds it", uint64(1 << 63), float64(1 << 63)},
		{"a small integer fits a float32", 16777216, float32(16777216)},
		{"a float that a float32 holds fits one", 0.5, float32(0.5)},
		{"an integer fits a pointer to one", 5, pointerTo(int32(5))},
		{"null fits a pointer", nil, (*int)(nil)},
		{"null fits a slice", nil, []int(nil)},
		{"null fits a map", nil, map[string]int(nil)},
		{"null fits bytes", nil, []byte(nil)},
		{"a map fits a struct", map[string]any{"Left": nil}, tree{}},
		{"a struct fits a map", tree{}, map[string]any{"Left": nil, "Right": nil, "Values": nil}},
		{"a list fits an array of its length", []int{1, 2}, [2]int{1, 2}},
		{"bytes fit an array of their length", []byte{1}, [1]byte{1}},
	} {
		out := reflect.New(reflect.TypeOf(tc.want))
		c.roundTrip(t, tc.in, out.Interface())
		same(t, tc.rule, tc.want, out.Elem().Interface())
	}
}

// overwrites checks that nothing of a former value is left, nor shared.
func (c Codec) overwrites(t *testing.T) {
	shared := []int{9, 9, 9}
	old := struct {
		List []int
		Map  map[string]int
		Ptr  *int
		Not  string
		Any  any
	}{shared, map[string]int{"old": 1}, &shared[0], "old", "old"}
	kept := old.Map
	c.roundTrip(t, map[string]any{"List": []int{1}, "Map": map[string]int{"new": 2}, "Ptr": 5, "Any": nil}, &old)
	same(t, "a list is replaced", []int{1}, old.List)
	same(t, "a list is not written into the old one, nor a pointer followed", []int{9, 9, 9}, shared)
	same(t, "a map is replaced", map[string]int{"new": 2}, old.Map)
	same(t, "a map is not written into the old one", map[string]int{"old": 1}, kept)
	same(t, "a field that is not there is set to zero", "", old.Not)
	same(t, "null in an any is nil", nil, old.Any)
}
