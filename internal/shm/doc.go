// Package shm is the shared-memory channel below [net.Conn]: a segment of
// memory that two processes map, one byte ring for each direction in it, and a
// unix socket beside it.
//
// It is the only package of the module that imports unsafe and that maps
// memory. Package shmconn makes a net.Conn of a [Session]; the direct transport
// speaks frames in the same rings. PROTOCOL.md has all that two implementations must
// agree on.
//
// # The parts
//
//   - [Segment]: the memory, and the views of its words (layout.go has the
//     offset table, segment_*.go the backings).
//   - [Producer] and [Consumer]: the two ends of a ring. They are plain index
//     arithmetic over a byte slice and six words, so that the race detector and
//     fuzzers can see them over ordinary memory (ring.go).
//   - the handshake: how two processes agree on a segment over the unix socket
//     (handshake*.go).
//   - [Session]: segment, rings, socket and the peer's identity under one
//     reference count (session.go).
//
// # Ordering
//
// A ring has one producer and one consumer. The producer's tail and the
// consumer's head only grow; the bytes in [head, tail) belong to the consumer,
// the others to the producer.
//
//	producer: P1 copy bytes into its part    consumer: C1 load tail
//	          P2 store tail (publishes P1)             C2 copy bytes out of its part
//	                                                   C3 store head (gives C2's part back)
//	          P3 load head before the next P1
//
// P2 pairs with C1 and C3 with P3. Where index 0 lies in the ring's memory is the
// producer's choice, which it may change while the ring is empty (base, stored before
// P2 and loaded after C1). Go's atomics are sequentially consistent; Go
// promises that within one process, and across two it rests on the instructions
// that the compiler emits for sync/atomic (a locked exchange on 386 and amd64,
// load-acquire and store-release on arm64).
//
// # Waking and sleeping
//
// An end that finds nothing to do sleeps; the other end must wake it, and neither
// may miss the other:
//
//	sleeper: S1 store wait = 1 (announce)    waker: W1 store its index (publish)
//	         S2 load the index (re-check)           W2 load wait
//	         S3 park until the doorbell             W3 if 1: CAS wait 1 to 0, ring the doorbell
//
// Both S1/S2 and W1/W2 are a store followed by a load of another word, and need
// sequential consistency: with it, either S2 sees what W1 published, or W2 sees
// what S1 announced.
//
// A waker that is delayed between W2 and W3 can take the announcement of the
// sleeper's next sleep away and ring for bytes that were read long ago. So
// wake-ups may be spurious and announcements may vanish: a sleeper that was
// woken and finds nothing announces again (S1) before it re-checks (S2) and
// parks (S3). Without that rule it sleeps for ever.
//
// A sleeper that expects to be woken within microseconds may nap instead, in a
// futex on the wait word: wait = 2. The waker then wakes it through the futex, and
// needs no doorbell. A nap is bounded in time.
//
// # The doorbell
//
// The doorbell is one byte on the unix socket, sent without blocking. The sleeper waits
// for the poller to report the socket, and reads no bells but in bulk (doorbell_linux.go
// says why and why that is safe). The socket is also how the end of a peer is noticed: the
// kernel closes it when the peer's process is gone, however it went.
//
// # Trust
//
// The peer may write anything into the segment at any time. Each word is loaded
// once into a local, checked, and used from there; a word that can't be right
// ends the session with an error that wraps [ErrCorrupt]. The memory itself
// can't be taken away: the memfd is sealed against shrinking, the receiver
// checks seals, type and size before it maps, and a SysV segment can't be
// shrunk at all.
package shm
