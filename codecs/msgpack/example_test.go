package msgpack_test

import (
	"fmt"
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
)

func Example() {
	type point struct {
		X, Y  int8
		Label string `msgpack:"label,omitempty"`
	}
	data, _ := msgpack.Marshal([]point{{1, -2, ""}, {X: 3, Label: "end"}})
	fmt.Printf("%q\n", data)

	var back []point
	fmt.Println(msgpack.Unmarshal(data, &back), back)

	data, _ = msgpack.Marshal([]any{map[string]any{"X": 1, "Y": 300}})
	fmt.Println(msgpack.Unmarshal(data, &back))
	fmt.Println(msgpack.Check([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}))
	// Output:
	// "\x92\x82\xa1X\x01\xa1Y\xfe\x83\xa1X\x03\xa1Y\x00\xa5label\xa3end"
	// <nil> [{1 -2 } {3 0 end}]
	// msgpack: unmarshal into *[]msgpack_test.point: [0].Y: want int8, got 300
	// msgpack: a length of 4294967295 at offset 1, 0 bytes left: unexpected EOF
}

// A host cuts a request into arguments and decodes each into its parameter.
func ExampleCodec_Split() {
	codec := msgpack.Codec{}
	body, _ := codec.AppendArgs(nil, []reflect.Value{reflect.ValueOf(1)}, []args.Named{{Name: "b", Value: reflect.ValueOf("x")}})
	fmt.Printf("%q\n", body)

	all, _ := codec.Split(body)
	var a int
	var b string
	_ = codec.Decode(all.Positional[0], reflect.ValueOf(&a).Elem())
	_ = codec.Decode(all.Named[0].Raw, reflect.ValueOf(&b).Elem())
	fmt.Println(a, all.Named[0].Name, b)
	// Output:
	// "\x82\xa1*\x91\x01\xa1b\xa1x"
	// 1 b x
}
