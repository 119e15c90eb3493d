package codectest

import (
	"math"
	"reflect"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/codectest/testpb"
)

func valuesOf(list ...any) []reflect.Value {
	values := make([]reflect.Value, len(list))
	for i, x := range list {
		values[i] = reflect.ValueOf(x)
	}
	return values
}

func namedOf(name string, v any) args.Named { return args.Named{Name: name, Value: reflect.ValueOf(v)} }

// decodeAll decodes every piece into an any.
func (c Codec) decodeAll(t *testing.T, raws []args.Raw) []any {
	t.Helper()
	list := make([]any, len(raws))
	for i, raw := range raws {
		if err := c.Decode(raw, reflect.ValueOf(&list[i]).Elem()); err != nil {
			t.Fatalf("Decode(%q): %v", raw.Data, err)
		}
	}
	return list
}

func (c Codec) split(t *testing.T, body []byte) ([]any, map[string]any) {
	t.Helper()
	all, err := c.Split(body)
	if err != nil {
		t.Fatalf("Split(%q): %v", body, err)
	}
	named := make(map[string]any)
	for _, arg := range all.Named {
		named[arg.Name] = c.decodeAll(t, []args.Raw{arg.Raw})[0]
	}
	return c.decodeAll(t, all.Positional), named
}

func arguments(t *testing.T, c Codec) {
	positional, named := c.split(t, nil)
	same(t, "an empty body has no arguments", []any{}, positional)
	same(t, "an empty body has no arguments", map[string]any{}, named)

	twenty := manyInts(20)
	for _, tc := range []struct {
		rule       string
		positional []any
		named      []args.Named
	}{
		{"no arguments", nil, nil},
		{"positional arguments keep their order", []any{int64(1), "two", nil, []byte{3}}, nil},
		{"named arguments", nil, []args.Named{namedOf("b", 2), namedOf("a", "x"), namedOf("none", nil)}},
		{"both", []any{int64(1), []any{int64(2)}}, []args.Named{namedOf("c", map[string]any{"*": nil})}},
		{"one map is one argument", []any{map[string]any{"a": int64(1), "*": []any{}}}, nil},
		{"many arguments", twenty, nil},
	} {
		before := []byte("before")
		body, err := c.AppendArgs(before, valuesOf(tc.positional...), tc.named)
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		if string(body[:6]) != "before" {
			t.Errorf("%s: AppendArgs does not append: %q", tc.rule, body)
		}
		positional, named := c.split(t, body[6:])
		same(t, tc.rule, append([]any{}, tc.positional...), positional)
		want := make(map[string]any)
		for _, arg := range tc.named {
			want[arg.Name] = nil
			if arg.Value.IsValid() {
				var x any
				c.roundTrip(t, arg.Value.Interface(), &x)
				want[arg.Name] = x
			}
		}
		same(t, tc.rule, want, named)
	}
	c.argumentTypes(t)
	c.badArguments(t)
}

// argumentTypes checks that arguments are decoded straight into their types.
func (c Codec) argumentTypes(t *testing.T) {
	in := valuesOf(int64(math.MaxInt64), inner{1, 2}, []byte("x"), &testpb.All{AString: "m"}, []float32{0.5})
	body, err := c.AppendArgs(nil, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Split(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Positional) != len(in) {
		t.Fatalf("%d arguments, want %d", len(all.Positional), len(in))
	}
	for i, raw := range all.Positional {
		out := reflect.New(in[i].Type()).Elem()
		if err := c.Decode(raw, out); err != nil {
			t.Errorf("argument %d: %v", i, err)
			continue
		}
		same(t, "an argument comes back as it was", in[i].Interface(), out.Interface())
	}
	err = c.Decode(all.Positional[1], reflect.New(reflect.TypeFor[struct{ X int8 }]()).Elem())
	wantError(t, "the path of an argument begins inside of it", err, ".x", "no such field")
	err = c.Decode(all.Positional[0], reflect.New(reflect.TypeFor[int8]()).Elem())
	wantError(t, "an argument that does not fit", err, "", "want int8, got 9223372036854775807")
}

func (c Codec) badArguments(t *testing.T) {
	dst := []byte("before")
	out, err := c.AppendArgs(dst, valuesOf(1, []any{make(chan int)}), nil)
	wantError(t, "the path of an error leads to the argument", err, "[1][0]", "chan")
	same(t, "what was there stays there", "before", string(out))
	_, err = c.AppendArgs(nil, nil, []args.Named{namedOf("c", make(chan int))})
	wantError(t, "the path of an error leads to the named argument", err, ".c", "chan")

	body, err := c.AppendArgs(nil, nil, []args.Named{namedOf("a", 1), namedOf("b", 1), namedOf("a", 2)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Split(body)
	wantError(t, "an argument that comes twice is refused", err, "", "twice")

	many := valuesOf(make([]any, args.Max+1)...)
	body, err = c.AppendArgs(nil, many, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Split(body)
	wantError(t, "there is a limit to the number of arguments", err, "", "more than 4096 arguments")
	body, err = c.AppendArgs(nil, many[1:], nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Split(body); err != nil {
		t.Errorf("as many arguments as the limit are accepted: %v", err)
	}

	body, err = c.AppendArgs(nil, valuesOf(1, "x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(body); n++ {
		if all, err := c.Split(body[:n]); err == nil && len(all.Positional) == 2 {
			t.Errorf("a body that is cut off is refused: %q", body[:n])
		}
	}
	if _, err := c.Split(append(body[:len(body):len(body)], body[0])); err == nil {
		t.Error("a body with something after it is refused")
	}
}

func results(t *testing.T, c Codec) {
	for _, tc := range []struct {
		rule string
		in   []any
	}{
		{"no result is null", nil},
		{"one result is the value", []any{"x"}},
		{"one result may be a list", []any{[]any{int64(1), int64(2)}}},
		{"one result may be null", []any{nil}},
		{"two results are a list", []any{int64(1), []any{}}},
	} {
		body, err := c.AppendResults([]byte("x"), valuesOf(tc.in...))
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		raws, err := c.SplitResults(body[1:], len(tc.in))
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
			continue
		}
		same(t, tc.rule, append([]any{}, tc.in...), c.decodeAll(t, raws))
	}
	raws, err := c.SplitResults(nil, 1)
	if err != nil || len(raws) != 1 || c.decodeAll(t, raws)[0] != nil {
		t.Errorf("an empty body is null: %v, %v", raws, err)
	}
	if _, err := c.SplitResults(nil, 0); err != nil {
		t.Errorf("an empty body is no result: %v", err)
	}
	three, err := c.AppendResults(nil, valuesOf(1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.SplitResults(three, 2)
	wantError(t, "three results are not two", err, "", "want a list of 2 results, got 3 results")
	_, err = c.SplitResults(three, 0)
	wantError(t, "three results are not none", err, "", "no result")
	one, err := c.AppendResults(nil, valuesOf("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.SplitResults(one, 2)
	wantError(t, "one result is not two", err, "", "want a list of 2 results, got string")
	_, err = c.AppendResults(nil, valuesOf(1, make(chan int)))
	wantError(t, "the path of an error leads to the result", err, "[1]", "chan")

	item, err := c.Append([]byte("x"), reflect.ValueOf([]int{1}))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.Check(item[1:])
	if err != nil {
		t.Fatal(err)
	}
	same(t, "an item is a value by itself", []any{[]any{int64(1)}}, c.decodeAll(t, []args.Raw{raw}))
	if _, err := c.Check(item[1 : len(item)-1]); err == nil {
		t.Error("an item that is cut off is refused")
	}
}
