package synth_test

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
)

// everything has parameters of all forms that are decoded here.
func everything(p1 bool, p2 []int8, p3 []string, p4 map[string]node, p5 []point, p6 any, p7 []any, p8 *small, p9 [][]byte) {
}

// bounded decodes body, whatever it is, and checks what that allocates.
func bounded(t *testing.T, s *synth.Service, body []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decodeAll(s, body)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(64*len(body)+256<<10) {
		t.Errorf("%d bytes take %d bytes of memory", len(body), got)
	}
}

// decodeAll decodes all arguments of a request and returns them, or nil if it is
// refused.
func decodeAll(s *synth.Service, body []byte) []reflect.Value {
	all, err := s.Method("F").Split(body)
	if err != nil {
		return nil
	}
	f := reflect.TypeOf(everything)
	values := make([]reflect.Value, f.NumIn())
	for i := range values {
		values[i] = reflect.New(f.In(i)).Elem()
	}
	for _, arg := range all.Named {
		if s.Method("F").Decode(arg.Raw, values[arg.Raw.Param]) != nil {
			return nil
		}
	}
	return values
}

func FuzzDecode(f *testing.F) {
	s, err := synth.New("S", []synth.Function{function("F", everything)})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range hostile {
		f.Add(seed[:min(len(seed), 1000)])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		bounded(t, s, body)
		values := decodeAll(s, body)
		if values == nil {
			return
		}
		again, err := s.Method("F").AppendArgs(nil, values, nil)
		if err != nil {
			if strings.Contains(err.Error(), "nil") {
				return // an entry of a map without a value, where that is a pointer
			}
			t.Fatalf("%x is accepted as %v, which can't be encoded: %v", body, values, err)
		}
		if decodeAll(s, again) == nil {
			t.Fatalf("%x is accepted as %v and encoded as %x, which is refused", body, values, again)
		}
	})
}

func TestHostile(t *testing.T) {
	s, err := synth.New("S", []synth.Function{function("F", everything)})
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range hostile {
		t.Run(what, func(t *testing.T) { bounded(t, s, body) })
	}
}

// fieldsOf repeats one field.
func fieldsOf(field string) []byte {
	return bytes.Repeat([]byte(field), size/len(field))
}

var hostile = map[string][]byte{
	"truth values":        fieldsOf("\x08\x01"),
	"small integers":      fieldsOf("\x10\x01"),
	"packed integers":     append(protowire.AppendVarint([]byte{0x12}, size), make([]byte, size)...),
	"empty strings":       fieldsOf("\x1a\x00"),
	"empty entries":       fieldsOf("\x22\x00"),
	"entries of one node": fieldsOf("\x22\x05\x12\x03\x0a\x01x"),
	"empty messages":      fieldsOf("\x2a\x00"),
	"values":              fieldsOf("\x32\x02\x0a\x00"),
	"null values":         fieldsOf("\x3a\x02\x0a\x00"),
	"empty map values":    fieldsOf("\x3a\x02\x4a\x00"),
	"pointers":            fieldsOf("\x42\x00"),
	"empty bytes":         fieldsOf("\x4a\x00"),
	"in turns":            fieldsOf("\x08\x01\x4a\x00\x10\x01"),
}

func BenchmarkMethod(b *testing.B) {
	s, err := synth.New("S", []synth.Function{function("Add", func(int, int) int { return 0 }), function("Move", func(point, []int) point { return point{} })})
	if err != nil {
		b.Fatal(err)
	}
	for name, in := range map[string][]reflect.Value{
		"Add":  {reflect.ValueOf(3), reflect.ValueOf(300)},
		"Move": {reflect.ValueOf(point{X: 1, Y: 2}), reflect.ValueOf([]int{1, 2, 3})},
	} {
		m := s.Method(name)
		body, err := m.AppendArgs(nil, in, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 1000)
			for b.Loop() {
				if _, err := m.AppendArgs(buf, in, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			out := make([]reflect.Value, len(in))
			for i := range out {
				out[i] = reflect.New(in[i].Type()).Elem()
			}
			for b.Loop() {
				all, err := m.Split(body)
				if err != nil {
					b.Fatal(err)
				}
				for _, arg := range all.Named {
					if err := m.Decode(arg.Raw, out[arg.Raw.Param]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
