// Package args is how a host reads and writes the arguments and results of a
// call without knowing the codec.
//
// A request body holds positional and named arguments. A host that serves a Go
// function cuts it up with [Codec.Split], finds the parameter of each piece, and
// decodes each straight into a value of the parameter's type with
// [Codec.Decode], so that no value takes a detour through a dynamic form. The
// caller's side is [Codec.AppendArgs]. Results go the other way with
// [Codec.AppendResults] and [Codec.SplitResults].
//
// Values pass as reflect.Value because that is what a host has at both ends. A
// host with dynamic arguments wraps them with reflect.ValueOf, which costs
// nothing; a nil any is the zero reflect.Value and is encoded as null.
//
// The codecs msgpack, json and carp implement [Codec] once for all functions.
// Typed protobuf depends on the function's signature: there, each method has a
// Codec of its own (package protobuf/synth).
package args

import "reflect"

// Raw is one encoded argument or result. It shares memory with the body that it
// was cut from, and is valid for as long as that is not changed. Only the codec
// that made it can decode it.
type Raw struct {
	// Data is the encoded value.
	Data []byte
	// Param is for codecs that depend on a signature: which parameter or
	// result this is. 0 in the others.
	Param int
	// Budget is how many bytes decoding may still allocate for this and all other
	// pieces of the same body, so that many small pieces together get no more
	// than one large one. Decode takes from it, and so does who allocates the
	// room for pieces. Nil for a piece that is counted by itself, as one of few
	// is. Pieces with the same budget can't be decoded by several goroutines at
	// a time.
	Budget *int
}

// NamedRaw is an encoded argument with the name of its parameter.
type NamedRaw struct {
	Name string
	Raw  Raw
}

// Named is an argument with the name of its parameter.
type Named struct {
	Name  string
	Value reflect.Value
}

// Max is how many arguments of each kind a call may have, counting those of a
// variadic parameter one by one. It keeps a body of a few megabytes from becoming
// millions of pieces. A list is one argument, however long it is.
const Max = 4096

// Arguments are the arguments of one call, encoded.
type Arguments struct {
	// Positional arguments, the first parameter first.
	Positional []Raw
	// Named arguments in the order of the body. No name comes twice.
	Named []NamedRaw
}

// Codec encodes and decodes the bodies of calls. It is safe for concurrent use
// and keeps nothing that it is given.
//
// Errors concern the data: a host reports those from Split and Decode as
// INVALID_ARGUMENT. A value that does not fit is a [value.Error] somewhere in
// the chain; its path starts inside the one value, so that the host can put the
// parameter's name before it.
//
// [value.Error]: https://pkg.go.dev/github.com/carp-rpc/carp-go/codecs/value#Error
type Codec interface {
	// Name is the codec's content-subtype, as in "application/grpc+msgpack".
	Name() string

	// Split checks the shape of a whole request body and cuts it into
	// arguments. An empty body has none. After Split has accepted a body,
	// Decode can be trusted with its pieces: no length in it promises more
	// than is there, and nothing is nested deeper than value.MaxDepth.
	Split(body []byte) (Arguments, error)

	// Decode decodes one piece into a settable value, overwriting it. It
	// allocates in proportion to the piece. On error, into may be partly set.
	Decode(raw Raw, into reflect.Value) error

	// AppendArgs appends the request body for these arguments to dst and
	// returns the extended slice. On error, dst's contents are unchanged up
	// to its length.
	AppendArgs(dst []byte, positional []reflect.Value, named []Named) ([]byte, error)

	// AppendResults appends the reply body for what a function returned, its
	// error not included: null for no result, the value itself for one, a
	// list for several.
	AppendResults(dst []byte, results []reflect.Value) ([]byte, error)

	// SplitResults checks the shape of a whole reply body and cuts it into n
	// results. With n = 0 the body must be empty or null. An empty body is
	// null. n must not be negative.
	SplitResults(body []byte, n int) ([]Raw, error)

	// Append appends one value by itself to dst, in the form in which stream
	// items travel.
	Append(dst []byte, v reflect.Value) ([]byte, error)

	// Check checks the shape of one value by itself and returns it for
	// Decode.
	Check(item []byte) (Raw, error)
}
