package synth_test

import (
	"fmt"
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
)

func Example() {
	number := reflect.TypeFor[int]()
	service, err := synth.New("Calculator", []synth.Function{
		{Name: "Add", Params: []synth.Param{{Name: "a", Type: number}, {Name: "b", Type: number}}, Results: []reflect.Type{number}},
		{Name: "Wait", Params: []synth.Param{{Name: "until", Type: reflect.TypeFor[chan int]()}}},
	})
	fmt.Println(err)
	fmt.Print(service.Source()["carp_gen/Calculator_messages.proto"])

	codec := service.Method("Add")
	body, _ := codec.AppendArgs(nil, []reflect.Value{reflect.ValueOf(300), reflect.ValueOf(0)}, nil)
	fmt.Printf("% x\n", body)
	// Output:
	// synth: /Calculator/Wait has no protobuf form: parameter until: chan int: protobuf has no form for it
	// // Made from Go functions. Do not edit.
	// syntax = "proto3";
	//
	// package carp.gen.Calculator;
	//
	// message AddRequest {
	//   optional int64 a = 1;
	//   optional int64 b = 2;
	// }
	//
	// message AddResponse {
	//   optional int64 result = 1;
	// }
	// 08 ac 02 10 00
}
