package direct

import (
	"encoding/binary"
)

// MaxBlock is how many bytes a request, header or trailer block may have.
const MaxBlock = 16 << 20

// maxPairs is how many pairs of metadata a block may have: as many as there would be room for
// if each took 32 bytes beyond its text. So what a block becomes in memory is bounded.
const maxPairs = MaxBlock / 32

// maxBlocks bounds the blocks of all streams whose rest is still to come.
const maxBlocks = 2 * MaxBlock

// onHeader takes the answer's header.
func (s *Stream) onHeader(h header, payload []byte) error {
	if !s.ours {
		return violation("header from the end that opened the stream")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	block, err := s.gather(h, payload)
	if block == nil || err != nil {
		return err
	}
	if s.is(haveHeader) {
		return violation("second header of a stream")
	}
	return s.takeHeader(block)
}

// takeHeader is onHeader, once the block is complete. Called with s.mu locked.
func (s *Stream) takeHeader(block []byte) error {
	s.have |= haveHeader
	s.rouse(s.hwake)
	if string(block) == noMD {
		return nil
	}
	f := fieldsOf(block)
	s.header = f.md()
	return f.done("header")
}

// gather is the whole of a block that comes in one or several frames, or nil. The
// result may be part of payload.
func (s *Stream) gather(h header, payload []byte) ([]byte, error) {
	if s.err != nil {
		return nil, nil //nolint:nilerr // it ended while the frame was looked at
	}
	if len(s.block)+len(payload) > MaxBlock+maxPayload(MaxBlock) {
		return nil, violation("block of more than %d bytes", MaxBlock)
	}
	if h.flags&flagMore != 0 {
		if s.c.blocks.Add(int64(len(payload))) > maxBlocks {
			return nil, violation("more than %d bytes of unfinished blocks", maxBlocks)
		}
		s.block = append(s.block, payload...)
		return nil, nil
	}
	if len(s.block) > 0 {
		payload = append(s.block, payload...)
		s.dropBlock()
	}
	if payload == nil {
		payload = []byte{}
	}
	return payload, nil
}

// dropBlock lets go of the block whose rest is still to come. Called with s.mu locked.
func (s *Stream) dropBlock() {
	s.c.blocks.Add(-int64(len(s.block)))
	s.block = nil
}

// onMessage takes a message, or a part of one, or the news that there will be none.
func (s *Stream) onMessage(h header, payload []byte) error {
	s.mu.Lock()
	missing, err := s.takeMessage(h, payload)
	s.mu.Unlock()
	if missing > 0 {
		s.borrow(missing, 0)
	}
	return err
}

// takeMessage tells how many bytes to ask the pool for. Called with s.mu locked.
func (s *Stream) takeMessage(h header, payload []byte) (missing int, err error) {
	if s.is(haveEnd) {
		return 0, violation("message after the last")
	}
	in := &s.inbox
	switch {
	case h.flags&flagFirst != 0:
		total, n := binary.Uvarint(payload)
		if n <= 0 || total > maxMessage {
			return 0, violation("message of %d bytes", total)
		}
		payload = payload[n:]
		if err := in.begin(int(total), h.flags&flagPacked != 0); err != nil {
			return 0, err
		}
	case len(payload) == 0:
		if h.flags&flagEnd == 0 || in.part.active {
			return 0, violation("message frame that says nothing")
		}
		s.takeEnd()
		return 0, nil
	}
	done, err := in.add(payload)
	if err != nil {
		return 0, err
	}
	if h.flags&flagEnd != 0 {
		if !done {
			return 0, violation("end inside a message")
		}
		s.have |= haveEnd
	}
	if done || in.err != nil {
		s.rouse(s.rwake)
	}
	return in.want(), nil
}

// maxMessage keeps a length inside an int of 32 bits.
const maxMessage = 1<<31 - 1

func (s *Stream) takeEnd() {
	s.have |= haveEnd
	s.rouse(s.rwake)
}

// onTrailer takes the end of a stream that we opened: trailer block, and perhaps header
// and message. Blocks lie behind their lengths.
func (s *Stream) onTrailer(h header, payload []byte) error {
	if !s.ours {
		return violation("trailer from the end that opened the stream")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.gather(h, payload)
	if all == nil || err != nil {
		return err
	}
	if h.flags&flagHeader != 0 {
		block, rest, err := cutBlock(all)
		if err != nil {
			return err
		}
		if err := s.takeHeader(block); err != nil {
			return err
		}
		all = rest
	}
	block, message, err := cutBlock(all)
	if err != nil {
		return err
	}
	if err := parseTrailer(block, &s.trailer); err != nil {
		return err
	}
	if err := s.takeWhole(h, message); err != nil {
		return err
	}
	s.c.out.remove(s)
	s.have |= haveTrailer
	s.rouse(s.rwake)
	s.rouse(s.hwake)
	s.rouse(s.swake)
	return nil
}

// takeWhole takes a message that lies behind a block.
func (s *Stream) takeWhole(h header, message []byte) error {
	if h.flags&flagMessage == 0 {
		if len(message) > 0 {
			return violation("%d bytes behind a block", len(message))
		}
		return nil
	}
	if err := s.inbox.begin(len(message), h.flags&flagPacked != 0); err != nil {
		return err
	}
	_, err := s.inbox.add(message)
	return err
}

// cutBlock splits off a block that lies behind its length.
func cutBlock(b []byte) (block, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, violation("block of %d bytes in %d", n, len(b))
	}
	b = b[size:]
	return b[:n], b[n:], nil
}

// onCancel takes the peer's giving up.
func (s *Stream) onCancel(payload []byte) error {
	if len(payload) != 8 {
		return violation("cancel of %d bytes", len(payload))
	}
	if !s.ours {
		s.c.in.remove(s)
		s.stop(ErrCanceled)
		return nil
	}
	reason := ErrCanceled
	if binary.LittleEndian.Uint64(payload) == cancelRefused {
		reason = ErrRefused
	}
	s.c.out.remove(s)
	s.stop(reason)
	return nil
}

// onCredit takes credit. More than any sender could use is no credit.
func (s *Stream) onCredit(payload []byte) error {
	if len(payload) != 8 {
		return violation("credit of %d bytes", len(payload))
	}
	n := binary.LittleEndian.Uint64(payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > maxMessage || s.credit > maxMessage-int(n) {
		return violation("credit of %d beyond %d", n, s.credit)
	}
	s.credit += int(n)
	s.rouse(s.swake)
	return nil
}
