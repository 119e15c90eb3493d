package json_test

import (
	stdjson "encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// TestForms checks the text itself: peers in other languages rely on it.
func TestForms(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want string
	}{
		{nil, `null`}, {true, `true`}, {false, `false`},
		{0, `0`}, {int64(math.MinInt64), `-9223372036854775808`}, {uint64(math.MaxUint64), `18446744073709551615`},
		{1.0, `1.0`}, {-0.5, `-0.5`}, {math.Copysign(0, -1), `-0.0`}, {1e21, `1e+21`}, {1e20, `100000000000000000000.0`}, {1e-7, `1e-07`},
		{float32(0.1), `0.10000000149011612`},
		{"", `""`}, {"a\"\\/\x00\x1f\b\f\n\r\t\x7fé\u2028", `"a\"\\/\u0000\u001f\u0008\u000c\n\r\t` + "\x7fé\u2028\""},
		{[]byte("hello"), `{"$bytes":"aGVsbG8="}`}, {[]byte{}, `{"$bytes":""}`},
		{[]int{}, `[]`}, {[]int{1, 2}, `[1,2]`}, {[]int(nil), `null`},
		{map[string]int{}, `{}`}, {map[string]int{"a": 1}, `{"a":1}`}, {map[string]int{"$a": 1}, `{"$$a":1}`},
		{map[int]string{}, `{"$map":[]}`}, {map[int]string{1: "x"}, `{"$map":[[1,"x"]]}`},
		{map[bool][]int{true: {}}, `{"$map":[[true,[]]]}`}, {map[int]map[int]int{1: {}}, `{"$map":[[1,{"$map":[]}]]}`},
		{struct{ A, B int }{1, 2}, `{"A":1,"B":2}`},
		{time.Unix(1, 5e8), `{"$time":"1970-01-01T00:00:01.5Z"}`},
		{value.Date{Year: 2024, Month: 2, Day: 29}, `{"$date":"2024-02-29"}`},
		{value.DateTime{Date: value.Date{Year: 2024, Month: 2, Day: 29}, Hour: 1}, `{"$datetime":"2024-02-29T01:00:00"}`},
		{value.Ref{Class: "C", ID: "\"", Host: "h"}, `{"$ref":{"class":"C","id":"\"","host":"h"}}`},
		{value.Named{Name: "n", Value: []any{}}, `{"$type":"n","$value":[]}`},
		{wrapperspb.Int64(5), `"5"`}, {[]proto.Message{wrapperspb.Bool(true), nil}, `[true,null]`},
	} {
		got, err := json.Marshal(tc.in)
		if err != nil || string(got) != tc.want {
			t.Errorf("Marshal(%v) = %s, %v, want %s", tc.in, got, err, tc.want)
		}
		if !stdjson.Valid(got) {
			t.Errorf("%s is no JSON", got)
		}
	}
}

// TestAccepts checks forms that we don't write but others do.
func TestAccepts(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want any
	}{
		{" [ 1 ,\t{ } , [ ]\r\n] ", []any{int64(1), map[string]any{}, []any{}}},
		{`"\u00e9\ud834\udd1e\/"`, "é𝄞/"}, {`"\u0000"`, "\x00"},
		{`-0`, int64(0)}, {`-0.0`, math.Copysign(0, -1)}, {`1e3`, 1000.0}, {`1E-2`, 0.01}, {`0.1`, 0.1},
		{`9007199254740993`, int64(9007199254740993)}, {`999999999999999999`, int64(999999999999999999)},
		{`{"\u0024bytes" : "AA=="}`, []byte{0}},
		{`{ "$map" : [ [ 1 , 2 ] , [ "1" , 3 ] ] }`, map[any]any{int64(1): int64(2), "1": int64(3)}},
		{`{"$map":[["a",1]]}`, map[string]any{"a": int64(1)}},
		{`{"$ref":{"id":"1"}}`, value.Ref{ID: "1"}},
		{`{"$ref":{"host":"h","id":"1","class":"c"}}`, value.Ref{Class: "c", ID: "1", Host: "h"}},
		{`{ "$type" : "n" , "$value" : null }`, value.Named{Name: "n"}},
		{`{"$time":"2006-01-02T15:04:05+01:00"}`, time.Date(2006, 1, 2, 14, 4, 5, 0, time.UTC)},
		{`{"$time":"2006-01-02T15:04:05.123456789-00:30"}`, time.Date(2006, 1, 2, 15, 34, 5, 123456789, time.UTC)},
		{`{"$$":1,"$$$a":2,"b$":3}`, map[string]any{"$": int64(1), "$$a": int64(2), "b$": int64(3)}},
	} {
		var got any
		err := json.Unmarshal([]byte(tc.in), &got)
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("Unmarshal(%s): %v (-want +got)\n%s", tc.in, err, diff)
		}
	}
}

// TestAcceptsTyped checks what depends on where it goes.
func TestAcceptsTyped(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want any
	}{
		{`100000000000000000000`, 1e20}, {`-100000000000000000000`, -1e20}, {`18446744073709551616`, 0x1p64},
		{`{"-128":"x","5":"y"}`, map[int8]string{-128: "x", 5: "y"}}, {`{"200":1}`, map[uint8]int{200: 1}},
		{`{"$map":[["a",1]]}`, map[string]int{"a": 1}},
	} {
		got := reflect.New(reflect.TypeOf(tc.want))
		err := json.Unmarshal([]byte(tc.in), got.Interface())
		if diff := cmp.Diff(tc.want, got.Elem().Interface()); err != nil || diff != "" {
			t.Errorf("Unmarshal(%s): %v (-want +got)\n%s", tc.in, err, diff)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, tc := range []struct {
		in   string
		into any // nil: any
		text string
	}{
		{``, nil, "unexpected EOF"}, {` `, nil, "unexpected EOF"}, {`[1`, nil, "unexpected EOF"}, {`"a`, nil, "unexpected EOF"},
		{`1 2`, nil, "after top-level value at offset 3"}, {`[1,]`, nil, "invalid character"}, {`{"a":1,}`, nil, "invalid character"},
		{`{a:1}`, nil, "invalid character"}, {`01`, nil, "invalid character"}, {`NaN`, nil, "invalid character"}, {`"` + "\n" + `"`, nil, "invalid character"},
		{`{"a":1,"a":2}`, nil, "a: a key that the map already has"}, {`{"a":1,"\u0061":2}`, nil, "a key that the map already has"},
		{`[{"b":{"a":1,"a":2}}]`, nil, "[0].b.a: a key"},
		{`{"$map":[[1,2],[1,3]]}`, nil, "a key that the map already has"},
		{`{"$map":[[1,2],[1,3]]}`, map[int]int{}, "[1]: a key that the map already has"},
		{`{"$map":[[[],2]]}`, nil, "a scalar as a map key"}, {`{"$map":[[1]]}`, nil, ", wanted"}, {`{"$map":[[1,2,3]]}`, nil, "] wanted"},
		{`{"$map":[1]}`, nil, "[ wanted"}, {`{"$map":{}}`, nil, "[ wanted"}, {`{"$map":[],"a":1}`, nil, "} wanted"},
		{`{"$map":[[{"$bytes":"AA=="},1],[{"$bytes":"AA=="},1]]}`, nil, "a key that the map already has"},
		{strings.Repeat("[", 301) + strings.Repeat("]", 301), nil, "deeper than 100"},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), nil, "deeper than 100"},
		{"\"\xff\"", nil, "not valid UTF-8"}, {"{\"\xff\":1}", nil, "not valid UTF-8"},
		{`"\ud800"`, nil, "surrogate"}, {`"\udc00\ud800"`, nil, "surrogate"}, {`"\ud800x"`, nil, "surrogate"}, {`"\ud800\u0041"`, nil, "surrogate"},
		{`100000000000000000000`, nil, "want an integer of at most 64 bits, got 100000000000000000000"},
		{`18446744073709551617`, 0.0, "value out of range"}, {strings.Repeat("9", 400), 0.0, "value out of range"}, {`1e400`, nil, "value out of range"},
		{`{"$bytes":"A"}`, nil, "base64"}, {`{"$bytes":1}`, nil, "the string of a $bytes wanted"}, {`{"$bytes":"AA==","a":1}`, nil, "} wanted"},
		{`{"$bytes":"AB=="}`, nil, "base64"}, // bits that are cut
		{`{"$time":"2006-01-02"}`, nil, "is not RFC 3339"}, {`{"$time":"2006-01-02T15:04:05.1234567891Z"}`, nil, "more than nanoseconds"},
		{`{"$time":"0000-01-01T00:00:00Z"}`, nil, "outside of the years"}, {`{"$time":"0001-01-01T00:00:00+01:00"}`, nil, "outside of the years"},
		{`{"$date":"2023-02-29"}`, nil, "is not a date"}, {`{"$date":"2023-2-9"}`, nil, "is not a date"}, {`{"$date":"0000-01-01"}`, nil, "is not a date"},
		{`{"$datetime":"2023-02-28 01:02:03"}`, nil, "is not a date and time"}, {`{"$datetime":"2023-02-28T01:02:03Z"}`, nil, "is not a date and time"},
		{`{"$datetime":"2023-02-28T01:02:03.1234567891"}`, nil, "is not a date and time"},
		{`{"$ref":{}}`, nil, "without an id"}, {`{"$ref":{"id":1}}`, nil, "a string wanted"}, {`{"$ref":{"x":"1"}}`, nil, "unknown field"}, {`{"$ref":"1"}`, nil, "{ wanted"},
		{`{"$type":"n"}`, nil, ", wanted"}, {`{"$type":"n","value":1}`, nil, "without a $value"}, {`{"$type":"","$value":1}`, nil, "without a name"},
		{`{"$type":"n","$value":1,"x":2}`, nil, "} wanted"}, {`{"$type":1,"$value":1}`, nil, "name of a type wanted"},
		{`{"$value":1}`, nil, "no meaning"}, {`{"$x":"1"}`, nil, "no meaning"}, {`{"$":1}`, nil, "no meaning"}, {`{"a":1,"$b":2}`, nil, "is written with two"},
		{`{"05":1}`, map[int]int{}, "[key]: want int, got string"}, {`{"+5":1}`, map[int]int{}, "want int"}, {`{"300":1}`, map[int8]int{}, "want int8, got 300"},
		{`{"1":1}`, map[float64]int{}, "want float64, got string"}, {`{"a":1}`, map[bool]int{}, "want bool, got string"},
		{`"aGVsbG8="`, []byte(nil), "want []uint8, got string"}, {`"2006-01-02T15:04:05Z"`, time.Time{}, "want time.Time, got string"},
	} {
		into := new(any)
		target := any(into)
		if tc.into != nil {
			target = reflect.New(reflect.TypeOf(tc.into)).Interface()
		}
		err := json.Unmarshal([]byte(tc.in), target)
		if err == nil || !strings.HasPrefix(err.Error(), "json: unmarshal into ") || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("Unmarshal(%.80s) into a %T = %v, want an error with %q", tc.in, target, err, tc.text)
		}
	}
	if err := json.Check([]byte(`[`)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("what is cut off can be told from what is wrong: %v", err)
	}
}

// TestCheckIsOnlyShape checks that Check leaves to decoding what depends on the
// target: a message has no "$" keys.
func TestCheckIsOnlyShape(t *testing.T) {
	m, err := structpb.NewStruct(map[string]any{"$bytes": 1.0, "a": map[string]any{"$x": "y"}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal([]*structpb.Struct{m})
	if err != nil {
		t.Fatal(err)
	}
	var out []*structpb.Struct
	if err := json.Unmarshal(data, &out); err != nil || len(out) != 1 || !proto.Equal(m, out[0]) {
		t.Errorf("a message with dollar signs comes back as it was: %v, %v", out, err)
	}
}

func TestRegistered(t *testing.T) {
	if !json.Registered() || encoding.GetCodecV2("json") != encoding.CodecV2(json.Codec{}) {
		t.Error("importing the package registers its codec")
	}
	encoding.RegisterCodecV2(foreign{})
	defer encoding.RegisterCodecV2(json.Codec{})
	if json.Registered() {
		t.Error("a codec that has replaced ours is reported")
	}
}

type foreign struct{ encoding.CodecV2 }

func (foreign) Name() string { return "json" }

// FuzzStandard compares strings and numbers with encoding/json, where both accept
// them.
func FuzzStandard(f *testing.F) {
	f.Add(`["a\u00e9", 1.5, -0.0, 1e2, true, null, {"k": [1]}]`)
	f.Add(`"\ud834\udd1e"`)
	f.Fuzz(func(t *testing.T, in string) {
		var ours, standard any
		if json.Unmarshal([]byte(in), &ours) != nil {
			return
		}
		if err := stdjson.Unmarshal([]byte(in), &standard); err != nil {
			t.Fatalf("%q is accepted, but is no JSON: %v", in, err)
		}
		if strings.Contains(in, "$") || strings.Contains(in, `\u0024`) {
			return
		}
		if floats := asFloats(ours); !reflect.DeepEqual(floats, standard) {
			t.Fatalf("%q is %#v, want %#v", in, floats, standard)
		}
	})
}

// asFloats makes integers what encoding/json makes of them.
func asFloats(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = asFloats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = asFloats(v[k])
		}
	}
	return v
}

type smallStruct struct {
	ID   int
	Name string
	Tags []string
}

func Benchmark(b *testing.B) {
	in := smallStruct{12345, "name", []string{"a", "b"}}
	data, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	for name, codec := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{"ours": {json.Marshal, json.Unmarshal}, "standard": {stdjson.Marshal, stdjson.Unmarshal}} {
		b.Run("Marshal/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.marshal(in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Unmarshal/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var out smallStruct
				if err := codec.unmarshal(data, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
