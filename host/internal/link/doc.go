// Package link is the protocol of carp.v1.Peer/Link: calls in both directions,
// and announcements, over one stream of frames. carpgo/v1/carp.proto and
// PROTOCOL.md are its reference; this package knows nothing of functions, codecs and hosts.
//
// # Parties
//
// A [Link] has two goroutines. The reader receives frames, and never waits: not
// for a handler, not for room to send; only for a peer that announces too much. The writer
// sends what is queued. Each call from the peer runs on a goroutine of its own; a
// caller waits on its own.
// Everything that they share is behind one mutex, which is never held while a
// frame is sent or received or foreign code runs.
//
// # Queues
//
// Announcements go first: the writer asks the host for the next one, so that what
// changes while a peer doesn't read is merged there. Then come frames that are small
// and bounded in number (calls, replies, credit, cancel), in the order in which they
// were queued. Items of streams, and payloads above [MaxInline], which follow
// their frame in chunks, are sent only when nothing else is queued, in turn for all
// calls: a large payload delays others by one chunk.
//
// # Memory
//
// What a peer can make a Link hold is bounded by
//
//	calls × (2 × MaxInline + call window + metadata) + pool
//
// where calls counts those in flight in both directions. A call from the peer is
// in flight until its reply has been handed to the stream, so that one that reads
// nothing is soon refused; how large the replies are that wait, package host bounds. A large payload is begun within the call's window, and gets
// credit for the rest when it is wanted and the pool has room for all of it, first come
// first served: payloads that are half there can't keep each other from being
// completed, and streams that nobody reads hold no room. A peer that doesn't read
// while it sends is cut off when the queue of small frames exceeds a multiple of the
// calls it may have in flight.
//
// # End
//
// When the stream ends, for whatever reason, every call in flight ends at once
// with a [LostError], every handler's context is cancelled and Done is closed.
package link
