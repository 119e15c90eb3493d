package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The handshake's messages, little endian, each behind a header of 16 bytes:
//
//	offset  size  field
//	0       8     "carp-shm"
//	8       1     kind
//	9       1     (zero)
//	10      2     highest version the sender speaks
//	12      4     length of the body, at most 1,024
//
// A body may grow at its end in later versions: bytes beyond the known fields are
// skipped.
const (
	wireMagic  = "carp-shm"
	wireHeader = 16
	maxBody    = 1024
	maxText    = 512
	maxProtos  = 8
	maxProto   = 32
)

// kind is the kind of a handshake message.
type kind uint8

const (
	kindHello  kind = 1 // dialler: what I can do
	kindOffer  kind = 2 // listener: a segment, with its descriptor
	kindAck    kind = 3 // dialler: mapped, or not and why
	kindRefuse kind = 4 // either: no, and why; the connection ends
)

// hello is the dialler's first message.
type hello struct {
	minVersion uint16
	maxVersion uint16
	backings   Backings
	rings      [2]ringWish // dialler to listener, listener to dialler
	protos     []string    // upper protocols besides the byte stream, preferred first
}

// ringWish is what one side wants of a ring, in bytes.
type ringWish struct{ want, limit uint32 }

// offer is the listener's answer. A memfd comes with it as SCM_RIGHTS.
type offer struct {
	version uint16
	backing Backing
	caps    capacities
	id      int32  // of a SysV segment
	proto   string // "" is the byte stream
	nonce   uint64 // of the segment
	why     string // the listener could not make what it prefers; "" if it did
}

// ack is the dialler's answer to an offer. A listener that reads a reason may
// make another offer.
type ack struct {
	ok     bool
	reason string
}

// refusal ends a handshake.
type refusal struct {
	reason string
}

func (h hello) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, h.minVersion)
	b = binary.LittleEndian.AppendUint16(b, h.maxVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.backings))
	for _, r := range h.rings {
		b = binary.LittleEndian.AppendUint32(b, r.want)
		b = binary.LittleEndian.AppendUint32(b, r.limit)
	}
	b = append(b, byte(len(h.protos)))
	for _, p := range h.protos {
		b = appendText(b, p)
	}
	return b
}

func parseHello(body []byte) (h hello, err error) {
	r := reader{body}
	h.minVersion, h.maxVersion = r.uint16(), r.uint16()
	h.backings = Backings(r.uint32())
	for i := range h.rings {
		h.rings[i] = ringWish{want: r.uint32(), limit: r.uint32()}
	}
	n := int(r.byte())
	if n > maxProtos {
		return hello{}, fmt.Errorf("%w: hello with %d upper protocols, at most %d", ErrCorrupt, n, maxProtos)
	}
	for range n {
		h.protos = append(h.protos, r.text(maxProto))
	}
	return h, r.done("hello")
}

func (o offer) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, o.version)
	b = binary.LittleEndian.AppendUint16(b, uint16(o.backing))
	b = binary.LittleEndian.AppendUint32(b, uint32(o.caps[0]))
	b = binary.LittleEndian.AppendUint32(b, uint32(o.caps[1]))
	b = binary.LittleEndian.AppendUint32(b, uint32(o.id))
	b = appendText(b, o.proto)
	b = binary.LittleEndian.AppendUint64(b, o.nonce)
	return appendText(b, o.why)
}

func parseOffer(body []byte) (o offer, err error) {
	r := reader{body}
	o.version = r.uint16()
	backing := r.uint16()
	caps := [2]uint32{r.uint32(), r.uint32()}
	o.id = int32(r.uint32())
	o.proto = r.text(maxProto)
	o.nonce = r.uint64()
	o.why = r.text(maxText)
	if err := r.done("offer"); err != nil {
		return offer{}, err
	}
	for i, n := range caps {
		if n > MaxRing { // before it is made an int, which may have 32 bits
			return offer{}, fmt.Errorf("%w: offer of a ring of %d bytes", ErrCorrupt, n)
		}
		o.caps[i] = int(n)
	}
	if err := o.caps.check(); err != nil {
		return offer{}, fmt.Errorf("%w: offer of a %w", ErrCorrupt, err)
	}
	if backing != uint16(MemFD) && backing != uint16(SysV) {
		return offer{}, fmt.Errorf("%w: offer of an unknown backing %d", ErrCorrupt, backing)
	}
	o.backing = Backing(backing)
	return o, nil
}

func (a ack) append(b []byte) []byte {
	if a.ok {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return appendText(b, a.reason)
}

func parseAck(body []byte) (a ack, err error) {
	r := reader{body}
	a.ok = r.byte() == 1
	a.reason = r.text(maxText)
	return a, r.done("ack")
}

func (f refusal) append(b []byte) []byte { return appendText(b, f.reason) }

func parseRefusal(body []byte) (f refusal, err error) {
	r := reader{body}
	f.reason = r.text(maxText)
	return f, r.done("refusal")
}

// frame puts the header before a body.
func frame(k kind, body interface{ append([]byte) []byte }) []byte {
	b := make([]byte, wireHeader, 128)
	copy(b, wireMagic)
	b[8] = byte(k)
	binary.LittleEndian.PutUint16(b[10:], Version)
	b = body.append(b)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-wireHeader))
	return b
}

// errNotCarp says that what speaks on the socket is something else.
var errNotCarp = errors.New("the peer does not speak the shared-memory handshake")

// readFrame reads one message with r, which may be something that also picks up
// descriptors. It reads not a byte more: what follows belongs to the doorbell.
func readFrame(r io.Reader) (k kind, version uint16, body []byte, err error) {
	var head [wireHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	if string(head[:8]) != wireMagic {
		return 0, 0, nil, fmt.Errorf("%w: it sent %q", errNotCarp, head[:])
	}
	n := binary.LittleEndian.Uint32(head[12:])
	if n > maxBody {
		return 0, 0, nil, fmt.Errorf("%w: handshake message of %d bytes, at most %d", ErrCorrupt, n, maxBody)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, 0, nil, noEOF(err)
	}
	return kind(head[8]), binary.LittleEndian.Uint16(head[10:]), body, nil
}

// noEOF makes an end in the middle of a message what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendText appends s, cut to what any text may have, behind its length.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// reader takes fields off a body; past its end it gives zeros and done tells.
type reader struct{ rest []byte }

func (r *reader) take(n int) []byte {
	if r.rest == nil || len(r.rest) < n {
		r.rest = nil
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) text(limit int) string {
	n := int(r.uint16())
	if n > limit {
		r.rest = nil
		return ""
	}
	return string(r.take(n))
}

func (r *reader) done(what string) error {
	if r.rest == nil {
		return fmt.Errorf("%w: %s cut short or with a field too long", ErrCorrupt, what)
	}
	return nil
}
