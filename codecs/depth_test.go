package codecs_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/carp-rpc/carp-go/codecs"
	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// levels is a value of n lists in each other.
func levels(n int) any {
	v := any([]any{})
	for range n - 1 {
		v = []any{v}
	}
	return v
}

// The deepest value is the same wherever it stands: what is around arguments and
// results is no level, and a list counts even if it is empty.
func TestDepth(t *testing.T) {
	for _, name := range []string{"msgpack", "json", "carp"} {
		c := codecs.ForArguments(name)
		for depth, fits := range map[int]bool{value.MaxDepth: true, value.MaxDepth + 1: false} {
			v := reflect.ValueOf(levels(depth))
			for where, encode := range map[string]func() error{
				"positional": func() error { return decodeArgs(c, []reflect.Value{v}, nil) },
				"named":      func() error { return decodeArgs(c, nil, []args.Named{{Name: "a", Value: v}}) },
				"result":     func() error { return decodeResults(c, v) },
				"results":    func() error { return decodeResults(c, v, reflect.ValueOf(1)) },
				"item": func() error {
					item, err := c.Append(nil, v)
					if err == nil {
						_, err = c.Check(item)
					}
					return err
				},
			} {
				if err := encode(); (err == nil) != fits {
					t.Errorf("%s, %d levels, %s: %v", name, depth, where, err)
				}
			}
		}
	}
}

func decodeArgs(c args.Codec, positional []reflect.Value, named []args.Named) error {
	body, err := c.AppendArgs(nil, positional, named)
	if err != nil {
		return err
	}
	a, err := c.Split(body)
	if err != nil {
		return err
	}
	raw := append(a.Positional, namedRaw(a)...)[0]
	return c.Decode(raw, reflect.ValueOf(new(any)).Elem())
}

func namedRaw(a args.Arguments) (all []args.Raw) {
	for _, n := range a.Named {
		all = append(all, n.Raw)
	}
	return all
}

func decodeResults(c args.Codec, results ...reflect.Value) error {
	body, err := c.AppendResults(nil, results)
	if err != nil {
		return err
	}
	raws, err := c.SplitResults(body, len(results))
	if err != nil {
		return err
	}
	return c.Decode(raws[0], reflect.ValueOf(new(any)).Elem())
}

// What our encoders would not write is refused when it comes from others.
func TestDepthOfForeignBodies(t *testing.T) {
	for name, brackets := range map[string][2]string{"msgpack": {"\x91", ""}, "json": {"[", "]"}} {
		c := codecs.ForArguments(name)
		inner := map[string]string{"msgpack": "\x90", "json": "[]"}[name]
		body := func(levels int) []byte {
			b := bytes.Repeat([]byte(brackets[0]), levels-1)
			b = append(b, inner...)
			return append(b, bytes.Repeat([]byte(brackets[1]), levels-1)...)
		}
		decode := func(levels int) error { // one more is the list of arguments
			a, err := c.Split(body(levels + 1))
			if err != nil {
				return err
			}
			return c.Decode(a.Positional[0], reflect.ValueOf(new(any)).Elem())
		}
		if err := decode(value.MaxDepth); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if decode(value.MaxDepth+1) == nil {
			t.Errorf("%s: %d levels are accepted", name, value.MaxDepth+1)
		}
	}
}
