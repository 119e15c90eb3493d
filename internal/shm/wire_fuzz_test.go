package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzMessages gives any bytes to the parsers of all messages. What a parser takes
// must survive being sent on: nothing it accepts means something else to the
// next reader.
func FuzzMessages(f *testing.F) {
	f.Add(uint8(kindHello), hello{minVersion: 1, maxVersion: 1, backings: AllBackings,
		rings: [2]ringWish{{4096, 1 << 20}, {4096, 1 << 20}}, protos: []string{"direct/1"}}.append(nil))
	f.Add(uint8(kindOffer), offer{version: 1, backing: MemFD, caps: capacities{4096, 1 << 20}, proto: "direct/1"}.append(nil))
	f.Add(uint8(kindOffer), offer{version: 1, backing: SysV, caps: capacities{4096, 4096}, id: -7}.append(nil))
	f.Add(uint8(kindAck), ack{ok: true}.append(nil))
	f.Add(uint8(kindAck), ack{reason: "no such segment"}.append(nil))
	f.Add(uint8(kindRefuse), refusal{reason: "another user"}.append(nil))
	f.Add(uint8(kindHello), []byte{})
	f.Add(uint8(kindHello), hello{protos: make([]string, maxProtos+1)}.append(nil))
	f.Add(uint8(kindHello), hello{protos: []string{strings.Repeat("x", maxProto+1)}}.append(nil))
	f.Add(uint8(kindOffer), offer{version: 1, backing: 77, caps: capacities{4096, 4096}}.append(nil))
	f.Add(uint8(kindOffer), offer{version: 1, backing: MemFD, caps: capacities{4095, 4096}}.append(nil))
	f.Fuzz(func(t *testing.T, k uint8, body []byte) {
		switch kind(k) {
		case kindHello:
			h, _ := survives(t, body, parseHello)
			if len(h.protos) > maxProtos {
				t.Errorf("%d upper protocols", len(h.protos))
			}
			for _, p := range h.protos {
				if len(p) > maxProto {
					t.Errorf("an upper protocol of %d bytes", len(p))
				}
			}
		case kindOffer:
			o, err := survives(t, body, parseOffer)
			if err == nil && (o.caps.check() != nil || !AllBackings.Has(o.backing)) {
				t.Errorf("accepted %+v", o)
			}
		case kindAck:
			survives(t, body, parseAck)
		case kindRefuse:
			survives(t, body, parseRefusal)
		}
	})
}

// survives parses body, and if it is legal, the message made of what was parsed.
func survives[M interface{ append([]byte) []byte }](t *testing.T, body []byte, parse func([]byte) (M, error)) (M, error) {
	t.Helper()
	first, err := parse(body)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v does not wrap ErrCorrupt", err)
		}
		return first, err
	}
	again := first.append(nil)
	if len(again) > len(body) {
		t.Errorf("a body of %d bytes became one of %d", len(body), len(again))
	}
	second, err := parse(again)
	if err != nil {
		t.Fatalf("%+v is not legal any more when sent on: %v", first, err)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(hello{}, ringWish{}, offer{}, ack{}, refusal{})); diff != "" {
		t.Errorf("sent on, it means something else:\n%s", diff)
	}
	return first, nil
}

// FuzzReadFrame reads messages out of any bytes: it takes exactly as many as the message
// has, and its memory is bounded by what a message may have.
func FuzzReadFrame(f *testing.F) {
	good := frame(kindAck, ack{ok: true})
	f.Add(good)
	f.Add(append(bytes.Clone(good), 1, 1, 1)) // bells behind it
	f.Add(good[:len(good)-1])
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[12:], 1<<31)
	f.Add(huge)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		_, _, body, err := readFrame(in)
		taken := len(data) - in.Len()
		if taken > wireHeader+maxBody {
			t.Errorf("took %d bytes, more than any message has", taken)
		}
		if tooLong(data) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("a body above %d bytes: %v, want ErrCorrupt", maxBody, err)
		}
		if len(data) == 0 && !errors.Is(err, io.EOF) {
			t.Errorf("no byte at all: %v, want io.EOF", err)
		}
		if err != nil {
			return
		}
		if want := int(binary.LittleEndian.Uint32(data[12:])); len(body) != want || taken != wireHeader+want {
			t.Errorf("took %d bytes for a body of %d, want %d and %d", taken, len(body), wireHeader+want, want)
		}
	})
}

// tooLong tells whether data begins with a message of ours that says it is too long.
func tooLong(data []byte) bool {
	return len(data) >= wireHeader && string(data[:8]) == wireMagic && binary.LittleEndian.Uint32(data[12:]) > maxBody
}

// FuzzHeader gives any bytes as the header of a segment: only one that says what was agreed
// on is taken.
func FuzzHeader(f *testing.F) {
	agreed := capacities{MinRing, MinRing * 2}
	good := make([]byte, 64)
	writeHeader(good, agreed)
	f.Add(good, 0)
	f.Add(good, -1)
	other := make([]byte, 64)
	writeHeader(other, capacities{MinRing, MinRing})
	f.Add(other, 0)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, head []byte, more int) {
		size := agreed.segmentSize()
		mem := make([]byte, size+min(max(more, -size), 1))
		copy(mem, head)
		err := checkHeader(mem, agreed)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v does not wrap ErrCorrupt", err)
		}
		if err != nil {
			return
		}
		want := make([]byte, 64)
		writeHeader(want, agreed)
		binary.NativeEndian.PutUint32(want[offVersion+4:], binary.NativeEndian.Uint32(mem[offVersion+4:])) // nobody's
		if len(mem) != size || !bytes.Equal(mem[:32], want[:32]) {
			t.Errorf("accepted a segment of %d bytes with header % x", len(mem), mem[:32])
		}
	})
}
