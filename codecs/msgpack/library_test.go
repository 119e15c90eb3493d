package msgpack_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	library "github.com/vmihailenco/msgpack/v5"

	"github.com/carp-rpc/carp-go/codecs/msgpack"
)

// record has what both this package and the library encode alike.
type record struct {
	Int     int64             `msgpack:"int"`
	Small   int8              `msgpack:"small"`
	Uint    uint64            `msgpack:"uint"`
	Float   float64           `msgpack:"float"`
	Single  float32           `msgpack:"single"`
	Text    string            `msgpack:"text"`
	Data    []byte            `msgpack:"data"`
	Truth   bool              `msgpack:"truth"`
	At      time.Time         `msgpack:"at"`
	Numbers []int32           `msgpack:"numbers"`
	ByName  map[string]string `msgpack:"by_name"`
	ByID    map[int]*record   `msgpack:"by_id"`
	Next    *record           `msgpack:"next"`
	Left    string            `msgpack:"left,omitempty"`
}

var records = []record{
	{Data: []byte{}, At: time.Unix(0, 0), ByName: map[string]string{}},
	{
		Int: -1 << 63, Small: -128, Uint: 1<<64 - 1, Float: 0.1, Single: -2.5, Text: "é", Data: []byte{0, 255}, Truth: true,
		At: time.Unix(1<<34, 999_999_999), Numbers: []int32{-1 << 31, 0, 1<<31 - 1}, ByName: map[string]string{"": "x", "a": ""},
		ByID: map[int]*record{-5: {At: time.Unix(5, 5)}}, Next: &record{At: time.Unix(-5, 5), Left: "l"},
	},
}

// TestLibraryReads and TestLibraryWrites compare with a library that many use, in
// both directions, on what it does without loss.
func TestLibraryReads(t *testing.T) {
	for _, in := range records {
		var out record
		if err := library.Unmarshal(mustMarshal(t, in), &out); err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(in, out, sameInstant); diff != "" {
			t.Errorf("the library reads what we wrote (-want +got)\n%s", diff)
		}
	}
}

func TestLibraryWrites(t *testing.T) {
	for _, compact := range []bool{false, true} {
		for _, in := range records {
			var buf bytes.Buffer
			encoder := library.NewEncoder(&buf)
			encoder.UseCompactInts(compact)
			encoder.UseCompactFloats(compact)
			if err := encoder.Encode(in); err != nil {
				t.Fatal(err)
			}
			if err := msgpack.Check(buf.Bytes()); err != nil {
				t.Errorf("what the library writes is sound: %v", err)
			}
			var out record
			if err := msgpack.Unmarshal(buf.Bytes(), &out); err != nil {
				t.Error(err)
				continue
			}
			if diff := cmp.Diff(in, out, sameInstant); diff != "" {
				t.Errorf("we read what the library wrote (-want +got)\n%s", diff)
			}
		}
	}
}

var sameInstant = cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })

// FuzzLibrary compares the two on values that the fuzzer makes up.
func FuzzLibrary(f *testing.F) {
	f.Add(int64(1), uint64(1<<63), 0.1, "text", []byte("data"), true, int64(5))
	f.Fuzz(func(t *testing.T, i int64, u uint64, fl float64, s string, b []byte, truth bool, seconds int64) {
		type values struct {
			I int64
			U uint64
			F float64
			B []byte
			S string
			T bool
			L []any
			M map[string]int64
		}
		in := values{i, u, fl, b, strings.ToValidUTF8(s, ""), truth, []any{b, truth, nil}, map[string]int64{"k": i, "l": seconds}}
		encoded, err := library.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var ours, theirs values
		if err := msgpack.Unmarshal(encoded, &ours); err != nil {
			t.Fatalf("the library writes %#v as %x, which we refuse: %v", in, encoded, err)
		}
		encoded = mustMarshal(t, in)
		if err := library.Unmarshal(encoded, &theirs); err != nil {
			t.Fatalf("we write %#v as %x, which the library refuses: %v", in, encoded, err)
		}
		// The library makes smaller integers of those in an any, and knows no
		// empty []byte there.
		in.L, ours.L, theirs.L = nil, nil, nil
		if diff := cmp.Diff(in, ours, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("what the library wrote (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(in, theirs, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("what the library read (-want +got)\n%s", diff)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	for _, bc := range benchmarks {
		b.Run(bc.name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := msgpack.Marshal(bc.in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/library", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := library.Marshal(bc.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	for _, bc := range benchmarks {
		data, err := msgpack.Marshal(bc.in)
		if err != nil {
			b.Fatal(err)
		}
		out := reflect.New(reflect.TypeOf(bc.in)).Interface()
		b.Run(bc.name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := msgpack.Unmarshal(data, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/library", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := library.Unmarshal(data, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/dynamic/ours", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var dynamic any
				if err := msgpack.Unmarshal(data, &dynamic); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/dynamic/library", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var dynamic any
				if err := library.Unmarshal(data, &dynamic); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type smallStruct struct {
	ID   int
	Name string
	Tags []string
}

var benchmarks = []struct {
	name string
	in   any
}{
	{"int", 12345},
	{"string", "a string of usual length"},
	{"struct", smallStruct{12345, "name", []string{"a", "b"}}},
	{"map", map[string]any{"id": 12345, "name": "name", "tags": []any{"a", "b"}}},
	{"1000 structs", manyStructs()},
}

func manyStructs() []smallStruct {
	list := make([]smallStruct, 1000)
	for i := range list {
		list[i] = smallStruct{i, "name", []string{"a", "b"}}
	}
	return list
}
