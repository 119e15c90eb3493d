// Package carp is the codec for clients that have protobuf and nothing else: a
// request is a carp.v1.Args, a reply a carp.v1.Result, and the values in them are
// carp.v1.Values, as carpgo/v1/carp.proto describes. It registers nothing with
// grpc: a host looks for its name in the metadata of a call.
//
//	data, err := carp.Marshal(map[string]any{"a": 1}) // a carp.v1.Value, in bytes
//	var v any
//	err = carp.Unmarshal(data, &v)
//	m, err := carp.ToProto([]any{1, "two"}) // *carpv1.Value
//
// The value model, and how Go types follow it, is that of package codecs/value.
// carp.v1.Value has a kind for each of its kinds; instants outside of the years 1
// to 9999 can't be encoded. A protobuf message is a map, as in package
// codecs/msgpack.
//
// # Data from a peer
//
// Everything is checked before it is decoded; see [Check]. What is decoded never
// takes more than 64 times the memory that the data has, or 64 KiB. Values are not
// decoded by way of Go messages, which would take more than that for small ones.
// A field that comes twice, where protobuf would take the last one, is refused.
package carp
