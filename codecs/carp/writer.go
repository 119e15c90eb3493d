package carp

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// The numbers of carp.v1.Value's fields, and what a Timestamp can say.
const (
	numNull     = 1
	numBool     = 2
	numInt      = 3
	numUint     = 4
	numDouble   = 5
	numString   = 6
	numBytes    = 7
	numList     = 8
	numMap      = 9
	numTime     = 10
	numDate     = 11
	numDateTime = 12
	numRef      = 13
	numNamed    = 14

	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// writer writes the tokens of a carp.v1.Value. It implements engine.Sink.
//
// A field's size stands before its contents. It is given one byte of room, which
// is enough for most; when it turns out to be longer, the contents are moved.
type writer struct {
	buf  []byte
	open []opened
}

// opened is a field whose contents are being written.
type opened struct {
	start int  // where they begin
	part  bool // it is an element or entry, which ends when the next one begins
}

// Reset makes w append to dst.
func (w *writer) Reset(dst []byte) { w.buf, w.open = dst, w.open[:0] }

// Finish returns what was written.
func (w *writer) Finish() ([]byte, error) { return w.buf, nil }

func (w *writer) begin(num protowire.Number, part bool) {
	w.buf = append(protowire.AppendTag(w.buf, num, protowire.BytesType), 0)
	w.open = append(w.open, opened{len(w.buf), part})
}

func (w *writer) end() {
	last := len(w.open) - 1
	start := w.open[last].start
	w.open = w.open[:last]
	n := len(w.buf) - start
	more := protowire.SizeVarint(uint64(n)) - 1
	if more > 0 {
		var room [9]byte
		w.buf = append(w.buf, room[:more]...)
		copy(w.buf[start+more:], w.buf[start:start+n])
	}
	protowire.AppendVarint(w.buf[:start-1], uint64(n))
}

// endPart ends an element or entry, if one is open.
func (w *writer) endPart() {
	if last := len(w.open) - 1; last >= 0 && w.open[last].part {
		w.end()
	}
}

func (w *writer) varint(num protowire.Number, u uint64) {
	w.buf = protowire.AppendVarint(protowire.AppendTag(w.buf, num, protowire.VarintType), u)
}

// int writes an int field of a message inside of a Value, where 0 is not written.
func (w *writer) int(num protowire.Number, i int64) {
	if i != 0 {
		w.varint(num, uint64(i))
	}
}

func (w *writer) text(num protowire.Number, s string) {
	w.buf = protowire.AppendString(protowire.AppendTag(w.buf, num, protowire.BytesType), s)
}

func (w *writer) Null() { w.begin(numNull, false); w.end() }

func (w *writer) Bool(b bool) { w.varint(numBool, protowire.EncodeBool(b)) }

func (w *writer) Int(i int64) { w.varint(numInt, protowire.EncodeZigZag(i)) }

func (w *writer) Uint(u uint64) {
	if u <= math.MaxInt64 {
		w.Int(int64(u))
		return
	}
	w.varint(numUint, u)
}

func (w *writer) Float32(f float32) error { return w.Float64(float64(f)) }

func (w *writer) Float64(f float64) error {
	w.buf = protowire.AppendTag(w.buf, numDouble, protowire.Fixed64Type)
	w.buf = protowire.AppendFixed64(w.buf, math.Float64bits(f))
	return nil
}

func (w *writer) String(s string) error {
	w.text(numString, s)
	return nil
}

func (w *writer) Bytes(b []byte) {
	w.buf = protowire.AppendBytes(protowire.AppendTag(w.buf, numBytes, protowire.BytesType), b)
}

func (w *writer) Time(t time.Time) error {
	seconds := t.Unix()
	if seconds < minSeconds || seconds > maxSeconds {
		return &value.Error{Got: "a time outside of the years 1 to 9999, which a Timestamp has no form for"}
	}
	w.begin(numTime, false)
	w.int(1, seconds)
	w.int(2, int64(t.Nanosecond()))
	w.end()
	return nil
}

func (w *writer) Date(d value.Date) { w.date(numDate, d) }

func (w *writer) date(num protowire.Number, d value.Date) {
	w.begin(num, false)
	w.int(1, int64(d.Year))
	w.int(2, int64(d.Month))
	w.int(3, int64(d.Day))
	w.end()
}

func (w *writer) DateTime(d value.DateTime) {
	w.begin(numDateTime, false)
	w.date(1, d.Date)
	w.int(2, int64(d.Hour))
	w.int(3, int64(d.Minute))
	w.int(4, int64(d.Second))
	w.int(5, int64(d.Nanosecond))
	w.end()
}

func (w *writer) Ref(r value.Ref) {
	w.begin(numRef, false)
	for i, s := range []string{r.Class, r.ID, r.Host} {
		if s != "" {
			w.text(protowire.Number(i+1), s)
		}
	}
	w.end()
}

func (w *writer) ListBegin(int) { w.begin(numList, false) }

func (w *writer) ListItem(i int) {
	if i > 0 {
		w.end()
	}
	w.begin(1, true)
}

func (w *writer) ListEnd() {
	w.endPart()
	w.end()
}

func (w *writer) MapBegin(int, bool) { w.begin(numMap, false) }

func (w *writer) TextKey(i int, key string) error {
	w.MapKey(i)
	w.text(numString, key)
	w.MapValue()
	return nil
}

// MapKey ends the value and the entry before, if there is one, and begins a key.
func (w *writer) MapKey(i int) {
	if i > 0 {
		w.end()
		w.end()
	}
	w.begin(1, true)
	w.begin(1, true)
}

func (w *writer) MapValue() {
	w.end()
	w.begin(2, true)
}

func (w *writer) MapEnd() {
	w.endPart()
	w.endPart()
	w.end()
}

func (w *writer) NamedBegin(name string) error {
	w.begin(numNamed, false)
	w.text(1, name)
	w.begin(2, false)
	return nil
}

func (w *writer) NamedEnd() {
	w.end()
	w.end()
}
