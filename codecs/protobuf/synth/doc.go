// Package synth makes protobuf messages of the arguments and results of Go
// functions, so that clients that know only protobuf and gRPC reflection can call
// them: grpcurl, generated stubs, and every language that has neither carp nor
// msgpack.
//
//	service, err := synth.New("Calculator", []synth.Function{{
//		Name:    "Add",
//		Params:  []synth.Param{{"a", reflect.TypeFor[int]()}, {"b", reflect.TypeFor[int]()}},
//		Results: []reflect.Type{reflect.TypeFor[int]()},
//	}})
//	codec := service.Method("Add") // an args.Codec
//
// This is the service that it makes:
//
//	package carp.gen.Calculator;
//	message AddRequest { optional int64 a = 1; optional int64 b = 2; }
//	message AddResponse { optional int64 result = 1; }
//
//	service Calculator { rpc Add(AddRequest) returns (AddResponse); }
//
// # Types
//
//	Go                                  protobuf
//	bool, string, float32, float64      bool, string, float, double
//	int, int64; int8, int16, int32      int64; int32
//	uint, uint64; uint8, uint16, uint32 uint64; uint32
//	[]byte, [N]byte                     bytes
//	time.Time                           google.protobuf.Timestamp
//	value.Date, DateTime, Ref, Named    the messages of carp.v1
//	any, types with hooks               carp.v1.Value
//	types with MarshalText              string
//	struct                              a message, its fields numbered from 1
//	*T of a scalar                      an optional field
//	*T of a struct                      a message, not there if nil
//	a pointer to a generated message    that message
//	[]T                                 repeated T
//	map[K]V                             map<K, V>; K an integer, bool or string
//
// Names are those of package codecs/value, with what can't be in an identifier
// replaced by an underscore; the JSON name is kept. Parameters and results that
// are scalars are optional fields, so that a missing one is seen.
//
// Lists and maps directly inside of each other, arrays, channels and functions
// have no form here, although the other codecs may know one. [New] tells.
//
// A function that takes one generated message and returns one has those for its
// request and response: it is a method like that of a generated service.
//
// # Compatibility
//
// Numbers follow the order of parameters, results and struct fields, and those
// that Go has. Adding at the end keeps old stubs working; changing the order, or
// removing, does not.
//
// # What protobuf does not tell apart
//
// An empty list, map or []byte in a struct is the same as none, and comes back
// nil. A number that is zero in a struct is the same as one that is not there.
//
// # Data from a peer
//
// A field that is not known is refused, since its value would be lost. Numbers
// that don't fit their Go types are refused, where protobuf libraries cut them.
// Nothing is nested deeper than value.MaxDepth, and memory is bounded as in the
// other codecs; but generated messages are decoded by protobuf itself, which
// bounds only depth.
package synth
