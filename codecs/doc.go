// Package codecs is the home of carp's serializers, and a table of them by name.
//
// One value model, four wires:
//
//   - [github.com/carp-rpc/carp-go/codecs/value] has the Go types that the
//     model needs beyond Go's own (dates, object references, named types), the
//     hooks by which a Go type controls its wire form, and the error that says
//     which value did not fit.
//   - [github.com/carp-rpc/carp-go/codecs/args] is the interface through which
//     a host encodes and decodes arguments and results, one at a time, in any
//     codec.
//   - [github.com/carp-rpc/carp-go/codecs/msgpack],
//     [github.com/carp-rpc/carp-go/codecs/json] and
//     [github.com/carp-rpc/carp-go/codecs/carp] (carp.v1.Value) carry every
//     value of the model, or say that they can't.
//   - [github.com/carp-rpc/carp-go/codecs/protobuf] is grpc's own protobuf
//     codec; its subpackage synth makes protobuf messages out of Go function
//     signatures.
//
// Importing json or msgpack registers that codec with grpc. Importing any other
// package of this module registers nothing: [ForArguments] and [ForMessages] give
// the same codecs without it, from a table of our own.
package codecs
