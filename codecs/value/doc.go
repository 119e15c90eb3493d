// Package value is the part of carp's value model that Go has no types for.
//
// # The model
//
// A dynamic value, one that is decoded into an any, has one of these Go types.
// Every codec that can carry the value gives the same one:
//
//	null                   nil
//	truth value            bool
//	integer                int64; uint64 from 2^63 up
//	floating point         float64
//	text                   string, valid UTF-8
//	binary data            []byte
//	list                   []any
//	map                    map[string]any; map[any]any if a key is not text
//	instant                time.Time, in UTC
//	date, date and time    Date, DateTime
//	object reference       Ref
//	value of a named type  Named
//
// Keys of a map[any]any are nil, bool, int64, uint64, float64, string, [Bytes],
// time.Time (UTC), [Date] or [DateTime].
//
// # Go types
//
// What is decoded into other Go types must be the same kind of thing and must
// fit exactly: numbers into number types that hold them without rounding, be
// they integer or floating point (2.0 fits an int, 2.5 does not, nor 0.1 a
// float32), text into strings, binary data into []byte or [N]byte, maps into maps
// and structs. Nothing is rounded, cut, wrapped around or converted between text
// and binary; what does not fit is an [Error] that names the value, what was
// wanted and what came. Null fits pointers, maps, slices and interfaces, and
// nothing else.
//
// A struct is a map with text keys. The name of a field is its msgpack tag, else
// its json tag, else its Go name, in every codec; "-" leaves it out, and the
// options omitempty and omitzero do what they do in encoding/json. Fields of
// embedded structs are promoted by Go's rules. A key that no field has is
// refused: a value that would be dropped is a value that was changed. A field
// that no key names is set to its zero value.
//
// A type with MarshalText and UnmarshalText is text, unless it has a rule of its
// own here. A type with [Encoder] and [Decoder] is what these make of it. A
// protobuf message is its ProtoJSON form in JSON and a map with the same names,
// with integers and bytes as such, in the other codecs.
//
// Channels, functions, complex numbers, uintptr and structs without exported
// fields (but the empty struct) are refused, and so is anything nested deeper
// than [MaxDepth], cyclic data included.
package value

// MaxDepth is how deep lists, maps and named values may be nested in each other
// within one value. What is inside of the innermost one is a scalar. The list or map
// of a call's arguments, and the list of several results, are no level of the values
// in them.
const MaxDepth = 100
