package direct

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame is a header of 16 bytes and a payload, padded to a multiple of 16 bytes, so
// that a header never wraps around the end of the ring. Neither does a payload: where
// it would, a pad frame fills the ring to its end first. Little endian.
//
//	offset  size  field
//	0       4     length of the payload
//	4       1     kind
//	5       1     flags
//	6       2     (zero)
//	8       8     stream: slot in the low half, generation in the high one; 0 is the connection
const (
	headerSize = 16
	frameAlign = 16
)

// kind is the kind of a frame. Unknown kinds end the connection: a version that adds
// one has an upper protocol name of its own.
type kind uint8

const (
	kindPad     kind = 0 // nothing; the ring goes on at its start
	kindRequest kind = 1 // opens a stream: request block, perhaps a message behind it
	kindHeader  kind = 2 // the answer's header block
	kindMessage kind = 3 // a message, or a further part of one
	kindTrailer kind = 4 // ends a stream: trailer block; perhaps header block and message too
	kindCancel  kind = 5 // the opener, or for a stream's rest the server, gives up
	kindCredit  kind = 6 // more bytes may be sent on the stream
	kindGoAway  kind = 7 // no further requests, please
	kindPing    kind = 8 // to be answered by a pong with the same payload
	kindPong    kind = 9
)

// flags of a frame.
type flags uint8

const (
	flagEnd     flags = 1 << 0 // request, message: the sender sends no further message
	flagMessage flags = 1 << 1 // request, trailer: a message follows the block
	flagHeader  flags = 1 << 2 // trailer: a header block comes before the trailer block
	flagMore    flags = 1 << 3 // request, header, trailer: the block goes on in the next frame
	flagFirst   flags = 1 << 4 // message: its length comes first
	flagPacked  flags = 1 << 5 // the message is compressed as the block says
	flagFromIn  flags = 1 << 6 // the stream was opened by the frame's receiver
)

// header is a frame's header.
type header struct {
	length int
	kind   kind
	flags  flags
	stream uint64
}

func (h header) put(b []byte) {
	binary.LittleEndian.PutUint32(b, uint32(h.length))
	b[4], b[5], b[6], b[7] = byte(h.kind), byte(h.flags), 0, 0
	binary.LittleEndian.PutUint64(b[8:], h.stream)
}

// parseHeader reads the header of a frame of which avail bytes, header included,
// are there. The peer publishes whole frames only.
func parseHeader(b []byte, avail, most int) (header, error) {
	n := binary.LittleEndian.Uint32(b)
	h := header{kind: kind(b[4]), flags: flags(b[5]), stream: binary.LittleEndian.Uint64(b[8:])}
	if n > uint32(most) || (h.kind != kindPad && frameSize(int(n)) > avail) {
		return header{}, violation("frame of %d bytes with %d there and %d allowed", n, avail, most)
	}
	if h.kind > kindPong {
		return header{}, violation("frame of unknown kind %d", h.kind)
	}
	h.length = int(n)
	return h, nil
}

// frameSize is what a frame with a payload of n bytes takes in the ring.
func frameSize(n int) int { return (headerSize + n + frameAlign - 1) &^ (frameAlign - 1) }

// ErrProtocol is wrapped by the reason of a connection that was given up because the
// peer broke the protocol.
var ErrProtocol = errors.New("the peer broke the direct protocol")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}
