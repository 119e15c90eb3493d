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
// it: that of the Value that is read next, from pos to end. The fields of a message
// may come in any order, since some protobuf libraries give them a random one, but
// none may come twice, which they never do.
type reader struct {
	data     []byte
	pos, end int
	check    bool // text is looked at: once is enough
}

// Reset makes r read data.
func (r *reader) Reset(data []byte, check bool) error {
	r.data, r.pos, r.end, r.check = data, 0, len(data), check
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

// sizedField reads the number of a field that has a size, and where its contents
// begin and end. It moves to the beginning.
func (r *reader) sizedField() (num protowire.Number, end int, err error) {
	num, typ, err := r.tag()
	if err != nil {
		return 0, 0, err
	}
	if typ != protowire.BytesType {
		return 0, 0, r.fault("field %d, which is unknown, before", num)
	}
	end, err = r.size()
	return num, end, err
}

// span is a part of the input.
type span struct{ start, end int }

// pair reads the current range as a message with two fields, 1 and 2.
func (r *reader) pair(what string) (fields [2]span, err error) {
	for r.pos < r.end {
		num, end, err := r.sizedField()
		if err != nil {
			return fields, err
		}
		if num > 2 || fields[num-1] != (span{}) {
			return fields, r.fault("%s with a field %d, unknown or for the second time, before", what, num)
		}
		fields[num-1] = span{r.pos, end}
		r.pos = end
	}
	if fields[0] == (span{}) || fields[1] == (span{}) {
		return fields, r.fault("%s without both of its fields before", what)
	}
	return fields, nil
}

// in makes s the current range.
func (r *reader) in(s span) { r.pos, r.end = s.start, s.end }

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
		t.Kind, t.Len, t.Num, t.End = engine.List, -1, uint64(r.pos), end
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
		if r.check && !utf8.Valid(contents) {
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
	end := r.end
	fields, err := r.pair("a named type")
	if err != nil {
		return err
	}
	t.Kind, t.Data, t.End = engine.Named, r.data[fields[0].start:fields[0].end], end
	if len(t.Data) == 0 || r.check && !utf8.Valid(t.Data) {
		return r.fault("a named type whose name is empty or not valid UTF-8 before")
	}
	r.in(fields[1])
	return nil
}

// Close moves behind a named value.
func (r *reader) Close(t *engine.Frame) error {
	r.pos, r.end = t.End, t.End
	return nil
}

// More moves to the next element or entry, which begins at t.Num. Where an entry's
// contents begin is kept in t.Start.
func (r *reader) More(t *engine.Frame) (bool, error) {
	r.in(span{int(t.Num), t.End})
	if r.pos >= r.end {
		return false, nil
	}
	num, end, err := r.sizedField()
	if err != nil {
		return false, err
	}
	if num != 1 {
		return false, r.fault("field %d, which is unknown, before", num)
	}
	t.Start, t.Num = r.pos, uint64(end)
	r.end = end
	return true, nil
}

// entry reads the entry that More has moved to, from its beginning.
func (r *reader) entry(m *engine.Frame) ([2]span, error) {
	r.in(span{m.Start, int(m.Num)})
	return r.pair("an entry")
}

// Key reads the key of an entry.
func (r *reader) Key(m *engine.Frame, k *engine.Token) error {
	fields, err := r.entry(m)
	if err != nil {
		return err
	}
	r.in(fields[0])
	return r.Next(k)
}

// Value makes the value of an entry the current range.
func (r *reader) Value(m *engine.Frame) error {
	fields, err := r.entry(m)
	r.in(fields[1])
	return err
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
	seen := 0
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if num > 8 || seen&(1<<num) != 0 {
			return fmt.Errorf("field %d, unknown or for the second time", num)
		}
		seen |= 1 << num
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
