package codectest

import (
	"errors"
	"io"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// mismatchCase is a value that must not fit the type of into.
type mismatchCase struct {
	rule     string
	in, into any
	path     string
	text     string
}

var mismatchCases = []mismatchCase{
	{"300 is no int8", 300, int8(0), "", "want int8, got 300"},
	{"-129 is no int8", -129, int8(0), "", "want int8, got -129"},
	{"-1 is no uint64", -1, uint64(0), "", "want uint64, got -1"},
	{"2^63 is no int64", uint64(1 << 63), int64(0), "", "want int64, got 9223372036854775808"},
	{"256 is no byte", 256, uint8(0), "", "want uint8, got 256"},
	{"2.5 is no int", 2.5, int(0), "", "want int, got float 2.5"},
	{"-0.0 is no int", math.Copysign(0, -1), int(0), "", "want int, got float -0"},
	{"2^63 as a float is no int64", 0x1p63, int64(0), "", "want int64"},
	{"2^64 as a float is no uint64", 0x1p64, uint64(0), "", "want uint64"},
	{"a negative float is no uint", -1.0, uint(0), "", "want uint, got float -1"},
	{"2^53+1 is no float64", int64(1<<53 + 1), 0.0, "", "want float64, got 9007199254740993"},
	{"2^63-1 is no float64", int64(math.MaxInt64), 0.0, "", "want float64"},
	{"2^64-1 is no float64", uint64(math.MaxUint64), 0.0, "", "want float64"},
	{"0.1 is no float32, which would round it", 0.1, float32(0), "", "want float32, got float 0.1"},
	{"2^24+1 is no float32", 1<<24 + 1, float32(0), "", "want float32"},
	{"1e39 is no float32", 1e39, float32(0), "", "want float32"},

	{"bytes are no string", []byte("x"), "", "", "want string, got bytes"},
	{"a string is no bytes", "x", []byte(nil), "", "want []uint8, got string"},
	{"a list is no bytes", []int{1}, []byte(nil), "", "want []uint8, got list"},
	{"bytes are no list", []byte{1}, []int(nil), "", "want []int, got bytes"},
	{"a number is no string", 1, "", "", "want string, got 1"},
	{"a string is no number", "1", 0, "", "want int, got string"},
	{"a number is no truth value", 1, false, "", "want bool, got 1"},
	{"a truth value is no number", true, 0, "", "want int, got true"},
	{"null is no number", nil, 0, "", "want int, got null"},
	{"null is no string", nil, "", "", "want string, got null"},
	{"null is no truth value", nil, false, "", "want bool, got null"},
	{"null is no struct", nil, inner{}, "", "got null"},
	{"null is no array", nil, [1]int{}, "", "got null"},
	{"null is no instant", nil, time.Time{}, "", "want time.Time, got null"},
	{"a map is no list", map[string]int{}, []int(nil), "", "want []int, got map"},
	{"a list is no map", []int{}, map[string]int(nil), "", "got list"},
	{"a list is no struct", []int{1, 2}, inner{}, "", "got list"},
	{"a string is no instant", "2006-01-02T15:04:05Z", time.Time{}, "", "want time.Time, got string"},
	{"a date is no instant", value.Date{Year: 2000, Month: 1, Day: 1}, time.Time{}, "", "got date"},
	{"an instant is no date", instant, value.Date{}, "", "want value.Date, got time"},
	{"a datetime is no instant", value.DateTimeOf(instant), time.Time{}, "", "got datetime"},
	{"an instant is no datetime", instant, value.DateTime{}, "", "got time"},
	{"a string is no reference", "1", value.Ref{}, "", "want value.Ref"},
	{"a map is no named value", map[string]any{}, value.Named{}, "", "want value.Named"},
	{"a named value is no struct", value.Named{Name: "n", Value: inner{}}, inner{}, "", `got named type "n"`},
	{"a list of 3 is no array of 2", []int{1, 2, 3}, [2]int{}, "", "got 3 elements or more"},
	{"a list of 1 is no array of 2", []int{1}, [2]int{}, "", "got 1 elements"},
	{"2 bytes are no array of 3", []byte{1, 2}, [3]byte{}, "", "got 2 bytes"},
	{"a number is no text of a type that is text", 1, textual{}, "", "want codectest.textual, got 1"},
	{"a text that the type itself refuses", "x", time.Month(0), "", "want time.Month"},
	{"nothing says what goes into an interface with methods", 1, struct{ R io.Reader }{}, "", ""},

	{"the path leads through lists", []any{1, 2, 300}, []int8(nil), "[2]", "[2]: want int8, got 300"},
	{"the path leads through maps", map[string]any{"a b": "x"}, map[string]int(nil), `["a b"]`, `["a b"]: want int`},
	{"the path leads through maps with other keys", map[int]any{7: "x"}, map[int]int(nil), "[7]", "[7]: want int"},
	{"the path leads through structs", map[string]any{"Left": map[string]any{"Values": []any{1.5, "x"}}}, tree{}, ".Left.Values[1]", "Left.Values[1]: want float32, got string"},
	{"the path leads through pointers", []any{[]any{nil, -1}}, [][]*uint(nil), "[0][1]", "want uint, got -1"},
	{"a key that does not fit is said to be one", map[int]string{300: "x"}, map[int8]string(nil), "[key]", "want int8, got 300"},
}

func mismatches(t *testing.T, c Codec) {
	for _, tc := range mismatchCases {
		data, err := c.Marshal(tc.in)
		if err != nil {
			t.Errorf("%s: Marshal: %v", tc.rule, err)
			continue
		}
		err = c.Unmarshal(data, reflect.New(reflect.TypeOf(tc.into)).Interface())
		wantError(t, tc.rule, err, tc.path, tc.text)
	}
	data, err := c.Marshal(1)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	for _, target := range []any{nil, n, (*int)(nil), struct{}{}} {
		if err := c.Unmarshal(data, target); err == nil {
			t.Errorf("only a pointer that is not nil can be decoded into: no error for %#v", target)
		}
	}
}

type unencodable struct{ hidden int }

// failing fails in each way in which it is asked for its form.
type failing struct{}

var errFailing = errors.New("failing on purpose")

func (failing) EncodeValue() (any, error) { return nil, errFailing }

type failingText struct{}

func (failingText) MarshalText() ([]byte, error) { return nil, errFailing }

type ring struct{ Next *ring }

type pointerLoop *pointerLoop

func unencodables(t *testing.T, c Codec) {
	loop := &ring{}
	loop.Next = loop
	self := map[string]any{}
	self["self"] = self
	var through any
	through = &through
	list := []any{nil}
	list[0] = list
	for _, tc := range []struct {
		rule string
		in   any
		path string
		text string
	}{
		{"channels have no form", make(chan int), "", "chan int"},
		{"functions have no form", func() {}, "", "func()"},
		{"complex numbers have no form", 1i, "", "complex128"},
		{"uintptr has no form", uintptr(1), "", "uintptr"},
		{"a struct that shows nothing has no form", unencodable{1}, "", "no exported fields"},
		{"a lock has no form", &sync.Mutex{}, "", "no exported fields"},
		{"the path leads to what has no form", map[string]any{"a": []any{1, make(chan int)}}, ".a[1]", "chan int"},
		{"text must be Unicode", "\xff", "", "UTF-8"},
		{"text in a typed list must be Unicode", []string{"", "\xff"}, "[1]", "UTF-8"},
		{"keys must be Unicode", map[string]int{"\xff": 1}, "", "UTF-8"},
		{"keys must be Unicode in dynamic maps too", map[string]any{"\xff": 1}, "", "UTF-8"},
		{"the zero date is no date", value.Date{}, "", "not a date"},
		{"there is no 30th of February", []any{value.Date{Year: 2000, Month: 2, Day: 30}}, "[0]", "2000-02-30"},
		{"there is no year 10000 in dates", value.Date{Year: 10000, Month: 1, Day: 1}, "", "10000"},
		{"there is no 24 o'clock", value.DateTime{Date: value.Date{Year: 2000, Month: 1, Day: 1}, Hour: 24}, "", "24:00"},
		{"a reference needs an id", value.Ref{Class: "C"}, "", "without an id"},
		{"a named value needs a name", value.Named{Value: 1}, "", "without a name"},
		{"a named value holds no named value", value.Named{Name: "a", Value: value.Named{Name: "b"}}, "", "within"},
		{"lists are no keys", map[any]any{[1]int{1}: 1}, "", "keys must be scalars"},
		{"structs are no keys", map[inner]int{{}: 1}, "", "keys must be scalars"},
		{"NaN is no key", map[any]any{math.NaN(): 1}, "", "scalars"},
		{"NaN is no key in typed maps", map[float64]int{math.NaN(): 1}, "", "scalars"},
		{"a hook's error is told", []any{failing{}}, "[0]", "failing on purpose"},
		{"a text's error is told", []any{failingText{}}, "[0]", "failing on purpose"},
		{"a ring of pointers ends", loop, "", "deeper"},
		{"a map in itself ends", self, "", "deeper"},
		{"a list in itself ends", list, "", "deeper"},
		{"a pointer to itself ends", through, "", "deeper"},
		{"a type that is only pointers is refused", new(pointerLoop), "", "pointers"},
		{"a hook that gives itself ends", endless{}, "", "deeper"},
		{"fields with one name are refused, not dropped", struct {
			A int `json:"x"`
			B int `msgpack:"x"`
		}{}, "", `2 fields are named "x"`},
		{"an option that changes the form is refused, not ignored", struct {
			A int `msgpack:",as_array"`
		}{}, "", "as_array"},
		{"a message must not be copied", struct{ T timestamppb.Timestamp }{}, "", "pointer"}, //nolint:govet // on purpose
	} {
		_, err := c.Marshal(tc.in)
		wantError(t, tc.rule, err, tc.path, tc.text)
	}
	if _, err := c.Marshal(failing{}); !errors.Is(err, errFailing) {
		t.Errorf("a hook's error can be found: %v", err)
	}
	if _, err := c.Marshal([]error{nil}); err != nil {
		t.Errorf("a nil in an interface with methods is null: %v", err)
	}
}

type endless struct{}

func (e endless) EncodeValue() (any, error) { return e, nil }
