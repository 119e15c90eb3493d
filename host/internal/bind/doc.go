// Package bind stands between a Go function and the bodies of calls to it.
//
// A [Signature] is read once from a function's type: it says which parameters a
// caller gives, under which names, and what comes back. With the codec of a call
// it turns a body into arguments and results into a body, and the other way
// round on the caller's side. A Signature is immutable and serves any number of
// calls at once.
//
// # Rules
//
// The rules about which arguments there must be (missing, unknown, given twice,
// too many) stand here, in collect.go, once for all codecs. What a value looks
// like, and that it is stored exactly or refused, is the codec's business (see
// package codecs/args). What a caller did wrong is an [Error]; it names the
// argument.
package bind
