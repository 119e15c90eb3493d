package carp

import (
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// reader reads the tokens of a carp.v1.Value. It implements engine.Source.
//
// A Value's kind is its only field, and containers hold Values that are preceded
// by their size. So the reader is always in a range of the input, and stays in
// it: that of the Value that is read next, from pos to end. It accepts what
// protobuf libraries write: fields in the order of their numbers, none twice.
type reader struct {
	data     []byte
	pos, end int
}

// Reset makes r read data. Nothing has to be known about it beforehand.
func (r *reader) Reset(data []byte, _ bool) error {
	r.data, r.pos, r.end = data, 0, len(data)
	return nil
}

// Done returns an error if something is left.
func (r *reader) Done() error {
	if r.pos != len(r.data) {
		return r.fault("the end wanted")
	}
	return nil
}

func (r *reader) Pos() engine.Pos   { return engine.Pos{At: r.pos, End: r.end} }
func (r *reader) Seek(p engine.Pos) { r.pos, r.end = p.At, p.End }

// Skip moves behind the next Value.
func (r *reader) Skip() error {
	r.pos = r.end
	return nil
}

// Null moves behind a null.
func (r *reader) Null() bool {
	const null = numNull<<3 | 2
	if r.end-r.pos == 2 && r.data[r.pos] == null && r.data[r.pos+1] == 0 {
		r.pos = r.end
		return true
	}
	return false
}

func (r *reader) fault(format string, args ...any) error {
	return fmt.Errorf("%s at offset %d", fmt.Sprintf(format, args...), r.pos)
}

// varint reads a varint.
func (r *reader) varint() (uint64, error) {
	u, n := protowire.ConsumeVarint(r.data[r.pos:r.end])
	if n < 0 {
		return 0, fmt.Errorf("an integer at offset %d: %w", r.pos, protowire.ParseError(n))
	}
	r.pos += n
	return u, nil
}

// tag reads the number and type of a field.
func (r *reader) tag() (protowire.Number, protowire.Type, error) {
	num, typ, n := protowire.ConsumeTag(r.data[r.pos:r.end])
	if n < 0 {
		return 0, 0, fmt.Errorf("a field at offset %d: %w", r.pos, protowire.ParseError(n))
	}
	r.pos += n
	return num, typ, nil
}

// size reads the size of a field and returns where it ends.
func (r *reader) size() (end int, err error) {
	u, err := r.varint()
	if err != nil {
		return 0, err
	}
	if u > uint64(r.end-r.pos) {
		return 0, fmt.Errorf("a size of %d at offset %d, %d bytes left: %w", u, r.pos, r.end-r.pos, io.ErrUnexpectedEOF)
	}
	return r.pos + int(u), nil
}

// field moves into the field of that number and type bytes, and makes it the
// current range. It returns where the range that it was in ends.
func (r *reader) field(want protowire.Number, what string) (outer int, err error) {
	num, typ, err := r.tag()
	if err != nil {
		return 0, err
	}
	if num != want || typ != protowire.BytesType {
		return 0, r.fault("%s wanted, there is field %d before", what, num)
	}
	end, err := r.size()
	if err != nil {
		return 0, err
	}
	outer, r.end = r.end, end
	return outer, nil
}

// Next reads the Value that is the current range.
func (r *reader) Next(t *engine.Token) error {
	if r.pos >= r.end {
		return r.fault("a Value without a kind")
	}
	num, typ, err := r.tag()
	if err != nil {
		return err
	}
	switch typ {
	case protowire.VarintType:
		err = r.scalar(t, num)
	case protowire.Fixed64Type:
		err = r.double(t, num)
	case protowire.BytesType:
		return r.sized(t, num)
	default:
		return r.fault("a Value of the unknown kind %d", num)
	}
	if err == nil && r.pos != r.end {
		return r.fault("a Value with more than one kind")
	}
	return err
}

func (r *reader) scalar(t *engine.Token, num protowire.Number) error {
	u, err := r.varint()
	if err != nil {
		return err
	}
	switch num {
	case numBool:
		t.Kind, t.Num = engine.Bool, min(u, 1)
	case numInt:
		t.SetInt(protowire.DecodeZigZag(u))
	case numUint:
		t.SetUint(u)
	default:
		return r.fault("a Value of the unknown kind %d", num)
	}
	return nil
}

func (r *reader) double(t *engine.Token, num protowire.Number) error {
	u, n := protowire.ConsumeFixed64(r.data[r.pos:r.end])
	if n < 0 || num != numDouble {
		return r.fault("a Value of the unknown kind %d", num)
	}
	r.pos += n
	t.SetFloat(math.Float64frombits(u))
	return nil
}

// sized reads a kind that has a size.
func (r *reader) sized(t *engine.Token, num protowire.Number) error {
	end, err := r.size()
	if err != nil {
		return err
	}
	if end != r.end {
		return r.fault("a Value with more than one kind")
	}
	switch num {
	case numList, numMap:
		t.Kind, t.Len, t.End = engine.List, -1, end
		if num == numMap {
			t.Kind = engine.Map
		}
		return nil
	case numNamed:
		return r.named(t)
	}
	contents := r.data[r.pos:end]
	start := r.pos
	r.pos = end
	switch num {
	case numNull:
		t.Kind = engine.Null
		if len(contents) > 0 {
			return r.fault("a Null with contents before")
		}
		return nil
	case numString:
		t.Kind, t.TextOnly, t.Data = engine.String, false, contents
		if !utf8.Valid(contents) {
			return fmt.Errorf("a string at offset %d that is not valid UTF-8", start)
		}
		return nil
	case numBytes:
		t.Kind, t.Data = engine.Bytes, contents
		return nil
	case numTime, numDate, numDateTime, numRef:
		if err := structured(t, num, contents); err != nil {
			return fmt.Errorf("at offset %d: %w", start, err)
		}
		return nil
	}
	return r.fault("a Value of the unknown kind %d before", num)
}

// named reads the name, and makes the value the current range.
func (r *reader) named(t *engine.Token) error {
	outer, err := r.field(1, "the name of a named type")
	if err != nil {
		return err
	}
	t.Kind, t.Data, t.End = engine.Named, r.data[r.pos:r.end], outer
	if !utf8.Valid(t.Data) || len(t.Data) == 0 {
		return r.fault("the name of a named type that is empty or not valid UTF-8")
	}
	r.pos, r.end = r.end, outer
	_, err = r.field(2, "the value of a named type")
	return err
}

// Close returns to the range that the named value was in.
func (r *reader) Close(t *engine.Token) error {
	r.end = t.End
	if r.pos != r.end {
		return r.fault("the end of a named value wanted")
	}
	return nil
}

// More moves to the next element, or to the next entry.
func (r *reader) More(t *engine.Token) (bool, error) {
	if r.end = t.End; r.pos >= r.end {
		return false, nil
	}
	_, err := r.field(1, "an element")
	return true, err
}

// Key reads the key of the entry that is the current range. Where the entry ends
// is kept in m, whose Num is of no other use.
func (r *reader) Key(m, k *engine.Token) error {
	outer, err := r.field(1, "the key of an entry")
	if err != nil {
		return err
	}
	m.Num = uint64(outer)
	return r.Next(k)
}

// Value makes the value of an entry the current range.
func (r *reader) Value(m *engine.Token) error {
	r.end = int(m.Num)
	if _, err := r.field(2, "the value of an entry"); err != nil {
		return err
	}
	if r.end != int(m.Num) {
		return r.fault("an entry with more than a key and a value")
	}
	return nil
}

// structured reads a message with scalar fields.
func structured(t *engine.Token, num protowire.Number, data []byte) error {
	switch num {
	case numTime:
		return readTime(t, data)
	case numDate:
		d, err := readDate(data)
		t.SetTime(engine.Date, d.In(time.UTC))
		return err
	case numDateTime:
		d, err := readDateTime(data)
		t.SetTime(engine.DateTime, d.In(time.UTC))
		return err
	default:
		return readRef(t, data)
	}
}

func readTime(t *engine.Token, data []byte) error {
	var ints [2]uint64
	if err := fields(data, ints[:], nil); err != nil {
		return err
	}
	seconds, nanos := int64(ints[0]), int64(ints[1])
	if seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos > 999_999_999 {
		return fmt.Errorf("a Timestamp outside of the years 1 to 9999, or without nanoseconds from 0 to 999,999,999")
	}
	t.Kind, t.Num, t.Len = engine.Time, ints[0], int(nanos)
	return nil
}

func readDate(data []byte) (value.Date, error) {
	var ints [3]uint64
	if err := fields(data, ints[:], nil); err != nil {
		return value.Date{}, err
	}
	d := value.Date{Year: int(int32(ints[0])), Month: time.Month(int32(ints[1])), Day: int(int32(ints[2]))}
	if !d.Valid() {
		return value.Date{}, fmt.Errorf("a Date that is not in the years 1 to 9999")
	}
	return d, nil
}

func readDateTime(data []byte) (value.DateTime, error) {
	var ints [5]uint64
	var parts [1][]byte
	if err := fields(data, ints[:], parts[:]); err != nil {
		return value.DateTime{}, err
	}
	date, err := readDate(parts[0])
	d := value.DateTime{
		Date:       date,
		Hour:       int(int32(ints[1])),
		Minute:     int(int32(ints[2])),
		Second:     int(int32(ints[3])),
		Nanosecond: int(int32(ints[4])),
	}
	if err != nil || !d.Valid() {
		return value.DateTime{}, fmt.Errorf("a DateTime that is not in the years 1 to 9999, or has no such hour")
	}
	return d, nil
}

func readRef(t *engine.Token, data []byte) error {
	var parts [3][]byte
	if err := fields(data, nil, parts[:]); err != nil {
		return err
	}
	for _, part := range parts {
		if !utf8.Valid(part) {
			return fmt.Errorf("a Ref that is not valid UTF-8")
		}
	}
	ref := &value.Ref{Class: string(parts[0]), ID: string(parts[1]), Host: string(parts[2])}
	if ref.ID == "" {
		return fmt.Errorf("a Ref without an id")
	}
	t.Kind, t.Ref = engine.Ref, ref
	return nil
}

// fields reads a message whose fields are varints or have a size: number i is
// stored in ints[i-1] or parts[i-1].
func fields(data []byte, ints []uint64, parts [][]byte) error {
	for last := protowire.Number(0); len(data) > 0; {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if num <= last {
			return fmt.Errorf("field %d after field %d", num, last)
		}
		last = num
		data = data[n:]
		switch i := int(num - 1); {
		case typ == protowire.VarintType && i < len(ints):
			ints[i], n = protowire.ConsumeVarint(data)
		case typ == protowire.BytesType && i < len(parts):
			parts[i], n = protowire.ConsumeBytes(data)
		default:
			return fmt.Errorf("field %d, which is unknown", num)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
	}
	return nil
}
