package direct

import (
	"encoding/binary"
)

// poll reads at most most frames. The caller holds the lead. A worker gets the stream of a
// request that may be run in line; otherwise requests get goroutines of their own.
func (c *Conn) poll(most int, worker bool) (n int, ready *Stream) {
	rx := c.lead.rx
	for n < most && ready == nil {
		size, s, err := c.readFrame()
		if err != nil {
			c.fail(err)
			return n, nil
		}
		if size == 0 {
			return n, nil
		}
		rx.Consume(size)
		if rx.NeedWake() {
			c.link.Ring()
		}
		n++
		if s == nil {
			continue
		}
		if worker {
			ready = s
			continue
		}
		c.run(s)
	}
	return n, ready
}

// readFrame handles the next frame and tells the size of what it takes in the ring: 0 if
// there is none. s is the stream of a request that has come in.
func (c *Conn) readFrame() (size int, s *Stream, err error) {
	rx := c.lead.rx
	avail, err := rx.Len(headerSize)
	if err != nil {
		return 0, nil, violation("%w", err)
	}
	if avail == 0 {
		return 0, nil, nil
	}
	if avail < headerSize {
		return 0, nil, violation("%d bytes of a frame's header", avail)
	}
	head, _ := rx.Bytes(headerSize)
	if len(head) < headerSize {
		return 0, nil, violation("frame header across the end of the ring")
	}
	h, err := parseHeader(head, avail, maxPayload(rx.Cap()))
	if err != nil {
		return 0, nil, err
	}
	if h.kind == kindPad {
		return c.skipPad(avail)
	}
	whole, rest := rx.Bytes(headerSize + h.length)
	if rest != nil {
		return 0, nil, violation("frame across the end of the ring")
	}
	s, err = c.dispatch(h, whole[headerSize:])
	return frameSize(h.length), s, err
}

// skipPad skips to the start of the ring.
func (c *Conn) skipPad(avail int) (int, *Stream, error) {
	a, _ := c.lead.rx.Bytes(avail)
	if len(a) == avail {
		return 0, nil, violation("pad frame before the end of the ring")
	}
	return len(a), nil, nil
}

// maxPayload is the largest payload of a frame in a ring of n bytes. Small enough that
// the peer copies one frame out while the next is copied in, and that nobody waits
// long for a turn.
func maxPayload(n int) int { return min(16<<10, n/8) - headerSize }

// dispatch gives a frame to its stream. What it keeps of payload it copies. The stream is
// returned if it is a request that has come in.
func (c *Conn) dispatch(h header, payload []byte) (*Stream, error) {
	switch h.kind {
	case kindRequest:
		return c.onRequest(h, payload)
	case kindGoAway:
		return nil, c.onGoAway(payload)
	case kindPing:
		if len(payload) != 8 {
			return nil, violation("ping of %d bytes", len(payload))
		}
		c.control(kindPong, 0, 0, binary.LittleEndian.Uint64(payload))
		return nil, nil
	case kindPong:
		return nil, nil
	}
	s := c.tableOf(h.flags).find(h.stream)
	if s == nil {
		return nil, nil // it ended here, and the peer did not know yet
	}
	switch h.kind {
	case kindHeader:
		return nil, s.onHeader(h, payload)
	case kindMessage:
		return nil, s.onMessage(h, payload)
	case kindTrailer:
		return nil, s.onTrailer(h, payload)
	case kindCancel:
		return nil, s.onCancel(payload)
	case kindCredit:
		return nil, s.onCredit(payload)
	default:
		return nil, violation("frame of unknown kind %d", h.kind)
	}
}

func (c *Conn) onGoAway(payload []byte) error {
	if len(payload) != 8 {
		return violation("goaway of %d bytes", len(payload))
	}
	if binary.LittleEndian.Uint64(payload) == goAwayLast {
		c.lastGoAway.Store(true)
	}
	if !c.goAway.Swap(true) {
		c.out.turnAway()
		if c.opt.OnGoAway != nil {
			go c.opt.OnGoAway()
		}
	}
	return nil
}

// tableOf is the table of the streams that a frame with these flags is about.
func (c *Conn) tableOf(f flags) *table {
	if f&flagFromIn != 0 {
		return &c.out
	}
	return &c.in
}
