// Package protobuf gives grpc's own protobuf codec the shape of carp's other
// codecs. It registers nothing: "proto" is registered by grpc, and stays what the
// program made of it.
//
// Its subpackage synth makes protobuf messages of the arguments and results of Go
// functions.
package protobuf
