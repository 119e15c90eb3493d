package codectest_test

import (
	"reflect"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
)

// BenchmarkCall is what a call costs in codecs, both ends together: two arguments
// and a result, all of them integers, from and to reflect.Values.
func BenchmarkCall(b *testing.B) {
	number := reflect.TypeFor[int]()
	service, err := synth.New("S", []synth.Function{{
		Name:    "Add",
		Params:  []synth.Param{{Name: "a", Type: number}, {Name: "b", Type: number}},
		Results: []reflect.Type{number},
	}})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []args.Codec{msgpack.Codec{}, json.Codec{}, carp.Codec{}, service.Method("Add")} {
		b.Run(c.Name(), func(b *testing.B) {
			b.ReportAllocs()
			in := []reflect.Value{reflect.ValueOf(300), reflect.ValueOf(-5)}
			out := []reflect.Value{reflect.New(number).Elem(), reflect.New(number).Elem()}
			request, reply := make([]byte, 0, 100), make([]byte, 0, 100)
			for b.Loop() {
				if err := call(c, in, out, request, reply); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func call(c args.Codec, in, out []reflect.Value, request, reply []byte) error {
	request, err := c.AppendArgs(request, in, nil)
	if err != nil {
		return err
	}
	all, err := c.Split(request)
	if err != nil {
		return err
	}
	for i, raw := range all.Positional {
		if err := c.Decode(raw, out[i]); err != nil {
			return err
		}
	}
	for i, arg := range all.Named {
		if err := c.Decode(arg.Raw, out[i]); err != nil {
			return err
		}
	}
	if reply, err = c.AppendResults(reply, out[:1]); err != nil {
		return err
	}
	results, err := c.SplitResults(reply, 1)
	if err != nil {
		return err
	}
	return c.Decode(results[0], out[0])
}
