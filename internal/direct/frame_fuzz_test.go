package direct

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// FuzzParseHeader: whatever the bytes, a header that is accepted describes a frame that is there.
func FuzzParseHeader(f *testing.F) {
	add := func(h header, avail, most int) {
		b := make([]byte, headerSize)
		h.put(b)
		f.Add(b, avail, most)
	}
	add(header{kind: kindPad}, 16, 496)
	add(header{length: 496, kind: kindMessage, flags: flagFirst | flagEnd, stream: 1 << 32}, 512, 496)
	add(header{length: 497, kind: kindRequest}, 1<<20, 496)
	add(header{length: 1<<31 - 1, kind: kindTrailer}, 1<<20, 16368)
	add(header{length: 8, kind: kindPong + 1}, 64, 496)
	f.Fuzz(func(t *testing.T, b []byte, avail, most int) {
		if len(b) < headerSize || avail < headerSize || most < 8 || most > 16<<10 {
			return
		}
		h, err := parseHeader(b[:headerSize], avail, most)
		switch {
		case errors.Is(err, ErrProtocol):
			return
		case err != nil:
			t.Fatalf("an error that is not ErrProtocol: %v", err)
		case h.length < 0 || h.length > most || h.kind > kindPong:
			t.Fatalf("accepted %+v with %d allowed", h, most)
		case h.kind != kindPad && frameSize(h.length) > avail:
			t.Fatalf("accepted %+v with %d bytes there", h, avail)
		}
		again := make([]byte, headerSize)
		h.put(again)
		again[6], again[7] = b[6], b[7] // nobody reads them
		if !bytes.Equal(again, b[:headerSize]) {
			t.Fatalf("%x is read as %+v", b[:headerSize], h)
		}
	})
}

// FuzzRequestBlock: what is read of a block can be written and read again.
func FuzzRequestBlock(f *testing.F) {
	for _, r := range []Request{
		{},
		{Method: "/p.S/M", Authority: "localhost", Subtype: "json", Encoding: "gzip", Timeout: -1},
		{Method: "/p.S/M", Timeout: 1 << 60, MD: metadata.MD{"k": {"", "v"}, "x-bin": {"\x00\xff"}}},
	} {
		f.Add(r.append(nil))
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, block []byte) {
		var r Request
		if err := parseRequest(block, &r); err != nil {
			wantProtocol(t, err)
			return
		}
		r.MD = r.Metadata() // what comes in is read when it is asked for
		var again Request
		if err := parseRequest(r.append(nil), &again); err != nil {
			t.Fatal(err)
		}
		again.MD = again.Metadata()
		r.received, again.received = "", "" // names may come in another order
		if diff := cmp.Diff(r, again, cmp.AllowUnexported(r)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzTrailerBlock: as FuzzRequestBlock.
func FuzzTrailerBlock(f *testing.F) {
	for _, tr := range []Trailer{
		{},
		{Code: codes.Internal, Message: "broken", Unprocessed: true},
		{Code: 1 << 31, MD: metadata.MD{"grpc-status-details-bin": {"\x08\x01"}}},
	} {
		f.Add(tr.append(nil))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		var tr, again Trailer
		if err := parseTrailer(block, &tr); err != nil {
			wantProtocol(t, err)
			return
		}
		if err := parseTrailer(tr.append(nil), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tr, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzCutBlock: the parts are the whole.
func FuzzCutBlock(f *testing.F) {
	f.Add([]byte{3, 'a', 'b', 'c', 'd'})
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})
	f.Add(appendBlock(nil, func(b []byte) []byte { return append(b, make([]byte, 1<<14)...) }))
	f.Fuzz(func(t *testing.T, b []byte) {
		block, rest, err := cutBlock(b)
		if err != nil {
			wantProtocol(t, err)
			return
		}
		if !bytes.HasSuffix(b, append(bytes.Clone(block), rest...)) {
			t.Fatalf("%x is cut into %x and %x", b, block, rest)
		}
	})
}

func wantProtocol(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrProtocol) {
		t.Fatalf("an error that is not ErrProtocol: %v", err)
	}
}
