// Package engine encodes and decodes Go values for every wire format of ours.
//
// A format supplies a [Reader] and a [Writer] of tokens: it knows how an integer
// or the start of a list looks in bytes, and nothing of Go types. The engine
// knows Go types, and nothing of bytes: which struct field has which name, what
// fits into an int8, how deep a value may be, when a hook is called, how a
// protobuf message becomes a map. So each rule of the value model is written
// once and holds in every format.
//
// # Data from a peer
//
// [Check] walks a value once before anything is decoded. A Reader promises that
// no token claims more elements or bytes than are left, and never panics; Check
// adds the depth limit and that no map has a key twice. A [Decoder] trusts only
// the Reader for its own safety, and has a budget for what it allocates (see
// budget.go).
//
// # Plans
//
// What to do with a Go type is worked out once, as a plan of closures, and kept
// for the life of the process (plan.go).
package engine
