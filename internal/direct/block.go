package direct

import (
	"encoding/binary"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Request is what opens a stream.
type Request struct {
	Method    string // "/package.Service/Method"
	Authority string
	Subtype   string        // content-subtype; "" is proto
	Encoding  string        // of messages with the compressed mark
	Timeout   time.Duration // that is left; 0 is none, negative has passed

	// MD and Pairs are the metadata, for who opens a stream: the pairs, names and
	// values in turn, go before MD. Names are in lower case.
	MD    metadata.MD
	Pairs []string

	received string // metadata as it came in
}

// Trailer is what ends a stream.
type Trailer struct {
	Code    codes.Code
	Message string
	MD      metadata.MD

	// Unprocessed says that no handler saw the request: it may be sent again.
	Unprocessed bool
}

// A block is a sequence of fields: uvarints, and strings behind their length as a
// uvarint. Fields may be added at its end; a reader skips those it doesn't know.

func (r *Request) append(b []byte) []byte {
	b = appendString(b, r.Method)
	b = appendString(b, r.Authority)
	b = appendString(b, r.Subtype)
	b = appendString(b, r.Encoding)
	b = binary.AppendVarint(b, int64(r.Timeout))
	return appendMD(b, r.MD, r.Pairs...)
}

func parseRequest(block []byte, r *Request) error {
	f := fieldsOf(block)
	r.Method, r.Authority = f.string(), f.string()
	r.Subtype, r.Encoding = f.string(), f.string()
	r.Timeout = time.Duration(f.varint())
	start := f.rest
	f.skipMD()
	r.received = start[:len(start)-len(f.rest)]
	return f.done("request")
}

// Metadata is the metadata of a request that came in. Each call makes it anew: most of
// those that serve a request don't want it.
func (r *Request) Metadata() metadata.MD {
	f := fields{rest: r.received}
	return f.md()
}

// Pairs is the metadata of a request, one pair after the other.
type Pairs struct {
	f    fields
	left uint64
}

// Received is the metadata of a request that came in, in the order in which it was sent.
func (r *Request) Received() Pairs {
	p := Pairs{f: fields{rest: r.received}}
	p.left = p.f.uvarint()
	return p
}

// Next returns the next pair, or false.
func (p *Pairs) Next() (name, value string, ok bool) {
	if p.left == 0 {
		return "", "", false
	}
	p.left--
	return p.f.string(), p.f.string(), true
}

func (t *Trailer) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.Code))
	b = appendString(b, t.Message)
	var marks uint64
	if t.Unprocessed {
		marks = 1
	}
	b = binary.AppendUvarint(b, marks)
	return appendMD(b, t.MD)
}

func parseTrailer(block []byte, t *Trailer) error {
	if string(block) == plainTrailer {
		return nil
	}
	f := fieldsOf(block)
	t.Code = codes.Code(f.uvarint())
	t.Message = f.string()
	t.Unprocessed = f.uvarint()&1 != 0
	t.MD = f.md()
	return f.done("trailer")
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendMD appends the number of pairs and the pairs: more, and those of md. Values of a key keep their order.
func appendMD(b []byte, md metadata.MD, more ...string) []byte {
	b = binary.AppendUvarint(b, uint64(pairsOf(md, more)))
	for _, s := range more {
		b = appendString(b, s)
	}
	for k, vs := range md {
		for _, v := range vs {
			b = appendString(b, k)
			b = appendString(b, v)
		}
	}
	return b
}

func pairsOf(md metadata.MD, more []string) int {
	pairs := len(more) / 2
	for _, vs := range md {
		pairs += len(vs)
	}
	return pairs
}

// fields reads the fields of a block. It copies the block once; the strings it gives
// are parts of that copy. After an error it gives zeros, and done tells.
type fields struct {
	rest string
	bad  bool
}

// noMD is an empty block of metadata, and plainTrailer the block of a trailer that says OK and
// nothing more. They are what most blocks are, so they are known without being read.
const (
	noMD         = "\x00"
	plainTrailer = "\x00\x00\x00\x00"
)

func fieldsOf(block []byte) fields { return fields{rest: string(block)} }

func (f *fields) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(f.rest) && i < binary.MaxVarintLen64; i++ {
		c := f.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			return v
		}
	}
	f.bad, f.rest = true, ""
	return 0
}

func (f *fields) varint() int64 {
	u := f.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (f *fields) string() string {
	n := f.uvarint()
	if n > uint64(len(f.rest)) {
		f.bad, f.rest = true, ""
		return ""
	}
	s := f.rest[:n]
	f.rest = f.rest[n:]
	return s
}

// md reads metadata. A pair takes two bytes at least, which bounds what a number of
// pairs can make us allocate.
func (f *fields) md() metadata.MD {
	n := f.uvarint()
	if n > uint64(len(f.rest)/2) || n > maxPairs {
		f.bad = true
		return nil
	}
	if n == 0 {
		return nil
	}
	md := make(metadata.MD, n)
	values := make([]string, 0, n) // one array for the values of keys that have one
	for range n {
		k, v := f.string(), f.string()
		if vs, ok := md[k]; ok {
			md[k] = append(vs, v)
			continue
		}
		values = append(values, v)
		md[k] = values[len(values)-1 : len(values) : len(values)]
	}
	return md
}

// skipMD is md for who only wants to know that it would succeed.
func (f *fields) skipMD() {
	n := f.uvarint()
	if n > uint64(len(f.rest)/2) || n > maxPairs {
		f.bad = true
		return
	}
	for range n {
		f.string()
		f.string()
	}
}

func (f *fields) done(what string) error {
	if f.bad {
		return violation("%s block cut short, or with too many pairs", what)
	}
	return nil
}
