// Package msgpack is carp's default codec for dynamic calls: compact, fast, and
// spoken by every language. Importing it registers the content-subtype
// "msgpack" with grpc, unless another codec of that name is there; see
// [Registered].
//
//	data, err := msgpack.Marshal(map[string]any{"a": 1, "b": []byte("x")})
//	var v any
//	err = msgpack.Unmarshal(data, &v)
//
// # Values
//
// The value model, and how Go types follow it, is that of package codecs/value.
// On the wire it is plain msgpack: integers in their shortest form, text as str,
// binary data as bin, instants as msgpack's timestamp (which carries no zone:
// they come back in UTC). Four extensions are carp's own:
//
//	type  contents
//	1     a date: text, 2006-01-02
//	2     a date and time without zone: text, 2006-01-02T15:04:05.999999999
//	3     an object reference: array of three str: class, id, host
//	4     a value of a named type: its name as str, and right after it any value
//
// A protobuf message is a map with the names that ProtoJSON gives its fields, in
// which integers, bytes and instants are such and enums are names. Unset fields
// are left out. When decoding, the names of the .proto file and the numbers of
// enums are accepted too, and null leaves a field unset. The well-known types
// have the form that they have in ProtoJSON. A message with unknown fields can't
// be encoded, since they would be lost.
//
// # Arguments
//
// [Codec] also reads and writes the bodies of calls, for a host: positional
// arguments are an array, named ones a map, both together a map with an entry
// "*" for the array. See package codecs/args.
//
// # Data from a peer
//
// Everything is checked before it is decoded; see [Check]. What is decoded never
// takes more than 64 times the memory that the data has, or 64 KiB.
//
// # Why not a library
//
// The widely used ones convert silently: 300 becomes 44 in an int8, -1 becomes
// 2^64-1 in a uint64, bin becomes string in an any; and four bytes that announce
// a long array end the process. Since every header must be read for [Check], and
// every number compared with its target, what remained for a library was to read
// numbers. The tests compare with one.
package msgpack
