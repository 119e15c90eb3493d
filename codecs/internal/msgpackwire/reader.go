package msgpackwire

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// reader reads tokens of msgpack. It implements engine.Source.
type reader struct {
	data  []byte
	pos   int
	check bool // text is looked at: once is enough
}

// Reset makes r read data.
func (r *reader) Reset(data []byte, check bool) error {
	r.data, r.pos, r.check = data, 0, check
	return nil
}

// Done returns an error if something is left.
func (r *reader) Done() error {
	if left := len(r.data) - r.pos; left > 0 {
		return fmt.Errorf("%d bytes after the value, at offset %d", left, r.pos)
	}
	return nil
}

func (r *reader) Pos() engine.Pos   { return engine.Pos{At: r.pos} }
func (r *reader) Seek(p engine.Pos) { r.pos = p.At }

// Null moves behind a null.
func (r *reader) Null() bool {
	if r.pos < len(r.data) && r.data[r.pos] == codeNil {
		r.pos++
		return true
	}
	return false
}

// More counts down the elements or entries that are left.
func (r *reader) More(t *engine.Frame) (bool, error) {
	if t.End == 0 {
		return false, nil
	}
	t.End--
	return true, nil
}

func (r *reader) Key(_ *engine.Frame, k *engine.Token) error { return r.Next(k) }
func (r *reader) Value(*engine.Frame) error                  { return nil }

// Close checks that the value in an extension was as long as the extension.
func (r *reader) Close(t *engine.Frame) error {
	if r.pos != t.End {
		return fmt.Errorf("extension of a named type ends at offset %d, its value at %d", t.End, r.pos)
	}
	return nil
}

// Skip moves behind the next value, counting the values that are still to come.
func (r *reader) Skip() error {
	var t engine.Token
	for left := 1; left > 0; left-- {
		if err := r.Next(&t); err != nil {
			return err
		}
		switch t.Kind {
		case engine.List:
			left += t.Len
		case engine.Map:
			left += 2 * t.Len
		case engine.Named:
			left++
		}
	}
	return nil
}

// take returns the next n bytes.
func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data)-r.pos {
		return nil, fmt.Errorf("%d bytes wanted at offset %d, %d left: %w", uint(n), r.pos, len(r.data)-r.pos, io.ErrUnexpectedEOF)
	}
	b := r.data[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}

// uint reads a big-endian integer of size bytes.
func (r *reader) uint(size int) (uint64, error) {
	b, err := r.take(size)
	if err != nil {
		return 0, err
	}
	switch size {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	default:
		return binary.BigEndian.Uint64(b), nil
	}
}

// Next reads a token. The format is at
// https://github.com/msgpack/msgpack/blob/master/spec.md.
func (r *reader) Next(t *engine.Token) error {
	if r.pos >= len(r.data) {
		return fmt.Errorf("a value wanted at offset %d: %w", r.pos, io.ErrUnexpectedEOF)
	}
	c := r.data[r.pos]
	r.pos++
	switch {
	case c < codeFixMap: // 0 to 127
		t.SetInt(int64(c))
		return nil
	case c >= codeNegFixInt: // -32 to -1
		t.SetInt(int64(int8(c)))
		return nil
	case c < codeFixArray:
		return r.container(t, engine.Map, int(c&0x0f))
	case c < codeFixStr:
		return r.container(t, engine.List, int(c&0x0f))
	case c < codeNil:
		return r.string(t, int(c&0x1f))
	}
	return r.long(t, c)
}

// long reads a token whose first byte c has no value or length in it.
func (r *reader) long(t *engine.Token, c byte) error {
	switch c {
	case codeNil:
		t.Kind = engine.Null
	case codeFalse, codeTrue:
		t.Kind, t.Num = engine.Bool, uint64(c-codeFalse)
	case codeFloat32, codeFloat64:
		return r.float(t, 4<<(c-codeFloat32))
	case codeUint8, codeUint16, codeUint32, codeUint64:
		u, err := r.uint(1 << (c - codeUint8))
		t.SetUint(u)
		return err
	case codeInt8, codeInt16, codeInt32, codeInt64:
		size := 1 << (c - codeInt8)
		u, err := r.uint(size)
		shift := 64 - 8*size
		t.SetInt(int64(u<<shift) >> shift)
		return err
	case codeFixExt1, codeFixExt2, codeFixExt4, codeFixExt8, codeFixExt16:
		return r.extension(t, 1<<(c-codeFixExt1))
	case codeNever:
		return fmt.Errorf("byte 0xc1 at offset %d, which msgpack never uses", r.pos-1)
	default:
		return r.sized(t, c)
	}
	return nil
}

// sized reads a token with a length of its own.
func (r *reader) sized(t *engine.Token, c byte) error {
	form := sizedForms[c]
	u, err := r.uint(form.size)
	if err != nil {
		return err
	}
	if u > uint64(len(r.data)-r.pos) {
		return fmt.Errorf("a length of %d at offset %d, %d bytes left: %w", u, r.pos-form.size, len(r.data)-r.pos, io.ErrUnexpectedEOF)
	}
	switch n := int(u); form.kind {
	case engine.String:
		return r.string(t, n)
	case engine.Bytes:
		t.Kind = engine.Bytes
		t.Data, err = r.take(n)
		return err
	case engine.Invalid:
		return r.extension(t, n)
	default:
		return r.container(t, form.kind, n)
	}
}

// sizedForms are the first bytes that a length follows, and its size. Extensions
// have no kind yet.
var sizedForms = [256]struct {
	kind engine.Kind
	size int
}{
	codeBin8: {engine.Bytes, 1}, codeBin16: {engine.Bytes, 2}, codeBin32: {engine.Bytes, 4},
	codeStr8: {engine.String, 1}, codeStr16: {engine.String, 2}, codeStr32: {engine.String, 4},
	codeArray16: {engine.List, 2}, codeArray32: {engine.List, 4},
	codeMap16: {engine.Map, 2}, codeMap32: {engine.Map, 4},
	codeExt8: {engine.Invalid, 1}, codeExt16: {engine.Invalid, 2}, codeExt32: {engine.Invalid, 4},
}

// container begins a list or map. Every element takes at least a byte, so a
// number of them that can't be there is found here.
func (r *reader) container(t *engine.Token, kind engine.Kind, n int) error {
	least := n
	if kind == engine.Map {
		least = 2 * n
	}
	if least > len(r.data)-r.pos {
		return fmt.Errorf("a %v of %d at offset %d, %d bytes left: %w", kind, n, r.pos, len(r.data)-r.pos, io.ErrUnexpectedEOF)
	}
	t.Kind, t.Len, t.End = kind, n, n
	return nil
}

func (r *reader) string(t *engine.Token, n int) (err error) {
	t.Kind, t.TextOnly = engine.String, false
	if t.Data, err = r.take(n); err != nil {
		return err
	}
	if r.check && !utf8.Valid(t.Data) {
		return fmt.Errorf("a string at offset %d that is not valid UTF-8", r.pos-n)
	}
	return nil
}

func (r *reader) float(t *engine.Token, size int) error {
	u, err := r.uint(size)
	if size == 4 {
		t.SetFloat(float64(math.Float32frombits(uint32(u))))
	} else {
		t.SetFloat(math.Float64frombits(u))
	}
	return err
}

// extension reads the type of an extension of n bytes, and its contents.
func (r *reader) extension(t *engine.Token, n int) error {
	typ, err := r.take(1)
	if err != nil {
		return err
	}
	start := r.pos
	data, err := r.take(n)
	if err != nil {
		return err
	}
	switch int8(typ[0]) {
	case extTime:
		return r.time(t, data)
	case extDate:
		d, err := value.ParseDate(string(data[:min(n, 64)]))
		t.SetTime(engine.Date, d.In(time.UTC))
		return at(start, err)
	case extDateTime:
		d, err := value.ParseDateTime(string(data[:min(n, 64)]))
		t.SetTime(engine.DateTime, d.In(time.UTC))
		return at(start, err)
	case extRef:
		return r.ref(t, data)
	case extNamed:
		r.pos = start
		return r.named(t, start+n)
	default:
		return fmt.Errorf("extension type %d at offset %d, which is unknown", int8(typ[0]), start-1)
	}
}

// time reads one of the three forms of msgpack's own timestamp.
func (r *reader) time(t *engine.Token, data []byte) error {
	var seconds int64
	var nanos uint64
	switch len(data) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(data))
	case 8:
		u := binary.BigEndian.Uint64(data)
		seconds, nanos = int64(u&(1<<34-1)), u>>34
	case 12:
		nanos = uint64(binary.BigEndian.Uint32(data))
		seconds = int64(binary.BigEndian.Uint64(data[4:]))
	default:
		return fmt.Errorf("a timestamp of %d bytes before offset %d", len(data), r.pos)
	}
	if nanos > 999_999_999 || seconds < minSeconds || seconds > maxSeconds {
		return fmt.Errorf("a timestamp out of range before offset %d", r.pos)
	}
	t.Kind, t.Num, t.Len = engine.Time, uint64(seconds), int(nanos)
	return nil
}

// ref reads the three texts of an object reference.
func (r *reader) ref(t *engine.Token, data []byte) error {
	inner := reader{data: data}
	var list, text engine.Token
	if err := inner.Next(&list); err != nil || list.Kind != engine.List || list.Len != 3 {
		return fmt.Errorf("an object reference before offset %d that is not three strings", r.pos)
	}
	ref := new(value.Ref)
	for _, to := range []*string{&ref.Class, &ref.ID, &ref.Host} {
		if err := inner.Next(&text); err != nil || text.Kind != engine.String {
			return fmt.Errorf("an object reference before offset %d that is not three strings", r.pos)
		}
		*to = string(text.Data)
	}
	if inner.pos != len(data) || ref.ID == "" {
		return fmt.Errorf("an object reference before offset %d without an id, or with something after it", r.pos)
	}
	t.Kind, t.Ref = engine.Ref, ref
	return nil
}

// named reads the name of a named value. The value itself is read by the caller,
// up to end.
func (r *reader) named(t *engine.Token, end int) error {
	if err := r.Next(t); err != nil {
		return err
	}
	if t.Kind != engine.String || len(t.Data) == 0 || r.pos > end {
		return fmt.Errorf("a named type before offset %d without a name", end)
	}
	t.Kind, t.End = engine.Named, end
	return nil
}

// at says where err happened.
func at(offset int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("at offset %d: %w", offset, err)
}
