package codectest

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/codectest/testpb"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// nest returns a value with n levels of wrap around it.
func nest(n int, wrap func(any) any) any {
	var v any
	for range n {
		v = wrap(v)
	}
	return v
}

func limits(t *testing.T, c Codec) {
	for name, wrap := range map[string]func(any) any{
		"lists":                   func(v any) any { return []any{v} },
		"maps":                    func(v any) any { return map[string]any{"k": v} },
		"maps with other keys":    func(v any) any { return map[any]any{1: v} },
		"lists of named values":   func(v any) any { return []any{v} },
		"maps and lists in turns": func(v any) any { return map[int]any{1: v} },
	} {
		deepest := nest(value.MaxDepth, wrap)
		var out any
		c.roundTrip(t, deepest, &out)
		_, err := c.Marshal(wrap(deepest))
		wantError(t, name+" nested too deep are refused", err, "", "deeper than 100")
	}
	named := nest(value.MaxDepth/2, func(v any) any { return value.Named{Name: "n", Value: []any{v}} })
	var out any
	c.roundTrip(t, named, &out)
	_, err := c.Marshal([]any{named})
	wantError(t, "named values count as a level", err, "", "deeper")

	deep := &testpb.All{}
	for range value.MaxDepth {
		deep = &testpb.All{Child: deep}
	}
	if c.Name() != "json" { // protojson has a limit of its own
		_, err = c.Marshal(deep)
		wantError(t, "messages count as a level", err, "", "deeper")
	}
	c.sizes(t)
	c.budget(t)
}

// sizes checks values whose lengths take the longest headers.
func (c Codec) sizes(t *testing.T) {
	const n = 1<<16 + 1
	for rule, in := range map[string]any{
		"text may be of any length":  strings.Repeat("x", n),
		"bytes may be of any length": make([]byte, n),
		"lists may be of any length": manyInts(n),
		"maps may be of any size":    manyKeys(n),
	} {
		var out any
		c.roundTrip(t, in, &out)
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%s, and come back as they were", rule)
		}
	}
}

// budget checks that a value may not take much more memory than its encoded form.
func (c Codec) budget(t *testing.T) {
	empties := make([]struct{}, 100_000)
	data, err := c.Marshal(empties)
	if err != nil {
		t.Fatal(err)
	}
	type large struct {
		A [1000]int
	}
	var out []large
	wantError(t, "empty maps must not become large structs", c.Unmarshal(data, &out), "", "times its size")
	var byKey map[string]large
	keys := make(map[string]struct{})
	for i := range 10_000 {
		keys[strings.Repeat("k", 1+i%7)+string(rune('0'+i))] = struct{}{}
	}
	data, err = c.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "empty maps must not become large structs in a map", c.Unmarshal(data, &byKey), "", "times its size")

	type modest struct {
		A, B int
		Name string
	}
	in := make([]modest, 50_000)
	for i := range in {
		in[i] = modest{i, -i, "name"}
	}
	var back []modest
	c.roundTrip(t, in, &back)
	same(t, "ordinary data is within the limit", true, reflect.DeepEqual(in, back))
	var dynamic []any
	c.roundTrip(t, in, &dynamic)
	same(t, "ordinary dynamic data is within the limit", len(in), len(dynamic))
}

func concurrent(t *testing.T, c Codec) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, tc := range dynamicCases[:40] {
				data, err := c.Marshal(tc.in)
				if err != nil {
					t.Error(err)
					return
				}
				var out any
				if err := c.Unmarshal(data, &out); err != nil {
					t.Error(err)
					return
				}
				same(t, tc.rule+" (concurrently)", tc.wanted(), out)
			}
		})
	}
	wg.Wait()
}
