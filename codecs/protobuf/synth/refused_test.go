package synth_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
	"github.com/carp-rpc/carp-go/codecs/value"
)

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		f    any
		text string
	}{
		{func([][]int) {}, "lists and maps can't be inside of each other"},
		{func([]map[string]int) {}, "lists and maps can't be inside of each other"},
		{func(map[string][]int) {}, "lists and maps can't be inside of each other"},
		{func([3]int) {}, "has no form"},
		{func(map[float64]int) {}, "no maps with such keys"},
		{func(map[point]int) {}, "no maps with such keys"},
		{func(chan int) {}, "has no form"},
		{func(func()) {}, "has no form"},
		{func(complex64) {}, "has no form"},
		{func(uintptr) {}, "has no form"},
		{func(error) {}, "of interfaces, only any has one"},
		{func(**int) {}, "a pointer may lead to a scalar or a struct"},
		{func([]*int) {}, "a pointer may lead to a scalar or a struct"},
		{func(struct{ hidden int }) {}, "no exported fields"},
		{func(struct{ F []chan int }) {}, "field F"},
		{func(*dynamicpb.Message) {}, "generated message"},
		{func() (int, []chan int) { return 0, nil }, "result 2"},
	} {
		s, err := synth.New("S", []synth.Function{function("Bad", tc.f), function("Good", func(int) {})})
		var e *synth.Error
		if !errors.As(err, &e) || e.Method != "Bad" || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%T: error %v, want one about Bad with %q", tc.f, err, tc.text)
		}
		if s == nil || s.Method("Good") == nil || s.Method("Bad") != nil {
			t.Errorf("%T: the methods that have a form are there, and only they", tc.f)
		}
	}
	for _, name := range []string{"", "a..b", "1", "a-b", ".a"} {
		if s, err := synth.New(name, []synth.Function{function("F", func() {})}); err == nil || s != nil {
			t.Errorf("service %q: no error", name)
		}
	}
	if s, err := synth.New("S", []synth.Function{function("a-b", func() {})}); err == nil || s != nil {
		t.Error("a method that is no identifier: no error")
	}
	bad := function("F", func(int) {})
	bad.Params[0].Name = "1"
	if s, err := synth.New("S", []synth.Function{bad}); err == nil || s != nil {
		t.Error("a parameter that is no identifier: no error")
	}
}

func TestMismatch(t *testing.T) {
	wide := newService(t, function("F", func(int64, uint64, []int64, string, point, map[string]int64) {}))
	narrow := newService(t, function("F", func(int8, uint16, []int32, []byte, struct{ A, B, C int }, map[string]int8) {}))
	body := func(i int, v any) []byte {
		b, err := wide.Method("F").AppendArgs(nil, nil, []args.Named{{Name: "p" + string(rune('1'+i)), Value: reflect.ValueOf(v)}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		rule string
		i    int
		v    any
		text string
	}{
		{"300 is no int8", 0, int64(300), "want int8, got 300"},
		{"-129 is no int8", 0, int64(-129), "want int8, got -129"},
		{"65536 is no uint16", 1, uint64(65536), "want uint16, got 65536"},
		{"2^31 is no int32", 2, []int64{1, 1 << 31}, "[1]: want int32, got 2147483648"},
		{"a message of other fields", 4, point{X: 1}, "wire type"},
		{"a value of a map", 5, map[string]int64{"k": 200}, "want int8, got 200"},
	} {
		all, err := narrow.Method("F").Split(body(tc.i, tc.v))
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		failed := false
		for _, arg := range all.Named {
			out := reflect.New(narrowTypes[arg.Raw.Param]).Elem()
			if err := narrow.Method("F").Decode(arg.Raw, out); err != nil {
				failed = true
				var e *value.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%s: error %v, want one with %q", tc.rule, err, tc.text)
				}
			}
		}
		if !failed {
			t.Errorf("%s: no error", tc.rule)
		}
	}
	none := newService(t, function("F", func() {}))
	if _, err := none.Method("F").Split(body(0, int64(1))); err == nil || !strings.Contains(err.Error(), "field 1, which FRequest does not have") {
		t.Errorf("an unknown field is refused: %v", err)
	}
	inner := newService(t, function("F", func(struct{ A int }) {}))
	all, err := inner.Method("F").Split([]byte{0x0a, 4, 0x08, 1, 0x10, 2}) // fields 1 and 2 in field 1
	if err != nil {
		t.Fatal(err)
	}
	var a struct{ A int }
	err = inner.Method("F").Decode(all.Named[0].Raw, reflect.ValueOf(&a).Elem())
	if err == nil || !strings.Contains(err.Error(), "unknown field 2") {
		t.Errorf("an unknown field inside of a message is refused: %v", err)
	}
	for _, bad := range [][]byte{{0x0a}, {0x0a, 5, 1}, {0x0b}, {0xff, 0xff}, {0x08}} {
		if _, err := wide.Method("F").Split(bad); err == nil {
			t.Errorf("%x is refused", bad)
		}
	}
	if _, err := wide.Method("F").AppendArgs(nil, []reflect.Value{reflect.ValueOf("x")}, nil); err == nil || !strings.Contains(err.Error(), "p1: want int64, got string") {
		t.Errorf("a wrong argument is refused: %v", err)
	}
	if _, err := wide.Method("F").AppendArgs(nil, nil, []args.Named{{Name: "nope"}}); err == nil || !strings.Contains(err.Error(), "nope: no such parameter") {
		t.Errorf("a wrong name is refused: %v", err)
	}
	one := reflect.ValueOf(int64(1))
	if _, err := wide.Method("F").AppendArgs(nil, []reflect.Value{one}, []args.Named{{Name: "p1", Value: one}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("an argument that is given twice is refused: %v", err)
	}
}

var narrowTypes = []reflect.Type{
	reflect.TypeFor[int8](), reflect.TypeFor[uint16](), reflect.TypeFor[[]int32](), reflect.TypeFor[[]byte](),
	reflect.TypeFor[struct{ A, B, C int }](), reflect.TypeFor[map[string]int8](),
}

func TestInterleaved(t *testing.T) {
	s := newService(t, function("F", func([]string, []int) {}))
	m := s.Method("F")
	// Field 1 twice, field 2 in between, once packed and once not.
	body := []byte{0x0a, 1, 'a', 0x12, 2, 1, 2, 0x0a, 1, 'b', 0x10, 3, 0x0a, 1, 'c'}
	all, err := m.Split(body)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var numbers []int
	if err := m.Decode(all.Named[0].Raw, reflect.ValueOf(&texts).Elem()); err != nil {
		t.Fatal(err)
	}
	if err := m.Decode(all.Named[1].Raw, reflect.ValueOf(&numbers).Elem()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{[]string{"a", "b", "c"}, []int{1, 2, 3}}, []any{texts, numbers}); diff != "" {
		t.Errorf("the elements of a list may come in any places (-want +got)\n%s", diff)
	}
	if string(body) != "\x0a\x01a\x12\x02\x01\x02\x0a\x01b\x10\x03\x0a\x01c" {
		t.Error("the body is not written to")
	}
}

func TestLimits(t *testing.T) {
	s := newService(t, function("F", func(node) {}), function("G", func([]struct{ A [1000]byte }) {}))
	deep := node{}
	for range value.MaxDepth + 1 {
		parent := deep
		deep = node{Parent: &parent}
	}
	if _, err := s.Method("F").AppendArgs(nil, []reflect.Value{reflect.ValueOf(deep)}, nil); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("what is nested too deep is not encoded: %v", err)
	}
	body := []byte{}
	for range 3 * value.MaxDepth { // field 4 of node is a node, as field 1 of the request is
		body = append([]byte{0x22, byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
	}
	body = append([]byte{0x0a, byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
	all, err := s.Method("F").Split(body)
	if err != nil {
		t.Fatal(err)
	}
	var out node
	if err := s.Method("F").Decode(all.Named[0].Raw, reflect.ValueOf(&out).Elem()); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("what is nested too deep is not decoded: %v", err)
	}
	all, err = s.Method("G").Split([]byte(strings.Repeat("\x0a\x00", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	var large []struct{ A [1000]byte }
	if err := s.Method("G").Decode(all.Named[0].Raw, reflect.ValueOf(&large).Elem()); err == nil || !strings.Contains(err.Error(), "times its size") {
		t.Errorf("empty messages must not become large structs: %v", err)
	}
}
