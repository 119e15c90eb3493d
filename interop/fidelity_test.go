// Package interop_test checks the Go codecs against the tables in testdata that
// all languages share. Python's half is python/tests/test_tables.py, Node's
// node/test/values.test.js.
package interop_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/carp"
	carpjson "github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// codec is a codec as the tables name it.
type codec struct {
	name      string
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

var codecs = []codec{
	{"msgpack", msgpack.Marshal, msgpack.Unmarshal},
	{"json", carpjson.Marshal, carpjson.Unmarshal},
	{"carp", carp.Marshal, carp.Unmarshal},
}

// row is a line of values.jsonl.
type row struct {
	Name    string
	Value   notation
	From    *notation
	Msgpack []string
	JSON    []string
	Carp    []string
}

// encodings are the row's encodings in a codec, nil if it can't carry the value.
func (r *row) encodings(t *testing.T, codec string) [][]byte {
	t.Helper()
	spelled := map[string][]string{"msgpack": r.Msgpack, "json": r.JSON, "carp": r.Carp}[codec]
	if spelled == nil {
		return nil
	}
	all := make([][]byte, len(spelled))
	for i, s := range spelled {
		all[i] = []byte(s)
		if codec != "json" {
			all[i] = unhex(t, s)
		}
	}
	return all
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("testdata: %v", err)
	}
	return data
}

func readTable[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	for line := range bytes.Lines(data) {
		var r T
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %s: %v", name, line, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// equal compares values exactly: types matter, -0 is not 0, and NaN is itself.
func equal(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case map[any]any:
		b, ok := b.(map[any]any)
		return ok && maps.EqualFunc(a, b, equal)
	case value.Named:
		b, ok := b.(value.Named)
		return ok && a.Name == b.Name && equal(a.Value, b.Value)
	}
	return reflect.DeepEqual(a, b)
}

func TestValues(t *testing.T) {
	for _, r := range readTable[row](t, "values.jsonl") {
		want, err := r.Value.value()
		from := want
		if r.From != nil && err == nil {
			from, err = r.From.value()
		}
		for _, c := range codecs {
			t.Run(r.Name+"/"+c.name, func(t *testing.T) {
				encodings := r.encodings(t, c.name)
				if err != nil { // no Go value is this large
					if encodings != nil {
						t.Fatalf("testdata: %v, but %s is said to carry it", err, c.name)
					}
					return
				}
				testValue(t, c, from, want, encodings, r.Value.oneSpelling(c.name))
			})
		}
	}
}

func testValue(t *testing.T, c codec, from, want any, encodings [][]byte, oneSpelling bool) {
	data, err := c.marshal(from)
	if encodings == nil {
		if err == nil {
			t.Errorf("marshalled as %.100x; want an error", data)
		}
		return
	}
	if err != nil {
		t.Fatalf("marshal %.100v: %v", from, err)
	}
	decoded := func(data []byte) any {
		var got any
		if err := c.unmarshal(data, &got); err != nil {
			t.Errorf("unmarshal %.100q: %v", data, err)
		}
		return got
	}
	if got := decoded(data); !equal(got, want) {
		t.Errorf("round trip: got %.100v (%T), want %.100v (%T)", got, got, want, want)
	}
	for _, e := range encodings {
		if got := decoded(e); !equal(got, want) {
			t.Errorf("unmarshal %q: got %v (%T), want %v (%T)", e, got, got, want, want)
		}
	}
	if oneSpelling && len(encodings) > 0 && !bytes.Equal(data, encodings[0]) {
		t.Errorf("marshalled as %x, want %x", data, encodings[0])
	}
}

func TestMalformed(t *testing.T) {
	type row struct{ Codec, Why, Body string }
	byName := make(map[string]codec)
	for _, c := range codecs {
		byName[c.name] = c
	}
	for _, r := range readTable[row](t, "malformed.jsonl") {
		t.Run(r.Codec+"/"+r.Why, func(t *testing.T) {
			var got any
			if err := byName[r.Codec].unmarshal(unhex(t, r.Body), &got); err == nil {
				t.Errorf("decoded as %.100v; want an error", got)
			}
		})
	}
}
