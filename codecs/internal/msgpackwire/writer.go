package msgpackwire

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// writer writes tokens of msgpack, each in the shortest form. It implements
// engine.Sink.
type writer struct {
	buf   []byte
	named []int // where the contents of the named values that are open begin
	err   error // a length that msgpack can't express
}

// Reset makes w append to dst.
func (w *writer) Reset(dst []byte) { *w = writer{buf: dst, named: w.named[:0]} }

// Finish returns what was written.
func (w *writer) Finish() ([]byte, error) { return w.buf, w.err }

func (w *writer) Null() { w.buf = append(w.buf, codeNil) }

func (w *writer) Bool(b bool) {
	if b {
		w.buf = append(w.buf, codeTrue)
	} else {
		w.buf = append(w.buf, codeFalse)
	}
}

func (w *writer) Int(i int64) {
	switch {
	case i >= 0:
		w.Uint(uint64(i))
	case i >= -32:
		w.buf = append(w.buf, byte(i))
	case i >= math.MinInt8:
		w.buf = append(w.buf, codeInt8, byte(i))
	case i >= math.MinInt16:
		w.buf = append(w.buf, codeInt16, byte(i>>8), byte(i))
	case i >= math.MinInt32:
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, codeInt32), uint32(i))
	default:
		w.buf = binary.BigEndian.AppendUint64(append(w.buf, codeInt64), uint64(i))
	}
}

func (w *writer) Uint(u uint64) {
	switch {
	case u < codeFixMap:
		w.buf = append(w.buf, byte(u))
	case u <= math.MaxUint8:
		w.buf = append(w.buf, codeUint8, byte(u))
	case u <= math.MaxUint16:
		w.buf = append(w.buf, codeUint16, byte(u>>8), byte(u))
	case u <= math.MaxUint32:
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, codeUint32), uint32(u))
	default:
		w.buf = binary.BigEndian.AppendUint64(append(w.buf, codeUint64), u)
	}
}

func (w *writer) Float32(f float32) error {
	w.buf = binary.BigEndian.AppendUint32(append(w.buf, codeFloat32), math.Float32bits(f))
	return nil
}

func (w *writer) Float64(f float64) error {
	w.buf = binary.BigEndian.AppendUint64(append(w.buf, codeFloat64), math.Float64bits(f))
	return nil
}

func (w *writer) String(s string) error {
	if n := len(s); n < 32 {
		w.buf = append(w.buf, codeFixStr|byte(n))
	} else {
		w.length(n, codeStr8, codeStr16, codeStr32)
	}
	w.buf = append(w.buf, s...)
	return nil
}

func (w *writer) Bytes(b []byte) {
	w.length(len(b), codeBin8, codeBin16, codeBin32)
	w.buf = append(w.buf, b...)
}

// length writes the first byte and the length of a value, with the shortest of
// the codes that are given for lengths of 8, 16 and 32 bits. 0 stands for none.
func (w *writer) length(n int, code8, code16, code32 byte) {
	switch {
	case n <= math.MaxUint8 && code8 != 0:
		w.buf = append(w.buf, code8, byte(n))
	case n <= math.MaxUint16:
		w.buf = append(w.buf, code16, byte(n>>8), byte(n))
	default:
		if uint64(n) > math.MaxUint32 {
			w.err = fmt.Errorf("a length of %d, which is more than msgpack has room for", n)
		}
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, code32), uint32(n))
	}
}

func (w *writer) Time(t time.Time) error {
	seconds, nanos := t.Unix(), uint64(t.Nanosecond())
	if seconds < minSeconds || seconds > maxSeconds {
		return &value.Error{Got: "a time hundreds of millions of years away"}
	}
	switch {
	case seconds>>34 != 0: // also when negative
		w.buf = append(w.buf, codeExt8, 12, 0xff)
		w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(nanos))
		w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(seconds))
	case nanos == 0 && seconds <= math.MaxUint32:
		w.buf = append(w.buf, codeFixExt4, 0xff)
		w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(seconds))
	default:
		w.buf = append(w.buf, codeFixExt8, 0xff)
		w.buf = binary.BigEndian.AppendUint64(w.buf, nanos<<34|uint64(seconds))
	}
	return nil
}

func (w *writer) Date(d value.Date)         { w.textExt(extDate, d.String()) }
func (w *writer) DateTime(d value.DateTime) { w.textExt(extDateTime, d.String()) }

func (w *writer) textExt(typ byte, text string) {
	w.buf = append(w.buf, codeExt8, byte(len(text)), typ)
	w.buf = append(w.buf, text...)
}

func (w *writer) Ref(r value.Ref) {
	w.beginExt(extRef)
	w.ListBegin(3)
	for _, s := range []string{r.Class, r.ID, r.Host} {
		_ = w.String(s) // has no error to return
	}
	w.endExt()
}

func (w *writer) NamedBegin(name string) error {
	w.beginExt(extNamed)
	return w.String(name)
}

func (w *writer) NamedEnd() { w.endExt() }

// beginExt begins an extension whose length is known only at its end. Its header
// is always of the longest form, so that nothing has to be moved then.
func (w *writer) beginExt(typ byte) {
	w.buf = append(w.buf, codeExt32, 0, 0, 0, 0, typ)
	w.named = append(w.named, len(w.buf))
}

func (w *writer) endExt() {
	last := len(w.named) - 1
	start := w.named[last]
	w.named = w.named[:last]
	n := len(w.buf) - start
	if uint64(n) > math.MaxUint32 {
		w.err = fmt.Errorf("an extension of %d bytes, which is more than msgpack has room for", n)
	}
	binary.BigEndian.PutUint32(w.buf[start-5:], uint32(n))
}

func (w *writer) ListBegin(n int) {
	if n < 16 {
		w.buf = append(w.buf, codeFixArray|byte(n))
		return
	}
	w.length(n, 0, codeArray16, codeArray32)
}

func (w *writer) MapBegin(n int, _ bool) {
	if n < 16 {
		w.buf = append(w.buf, codeFixMap|byte(n))
		return
	}
	w.length(n, 0, codeMap16, codeMap32)
}

func (w *writer) TextKey(_ int, key string) error { return w.String(key) }

// Elements and entries follow each other without anything in between.
func (w *writer) ListItem(int) {}
func (w *writer) ListEnd()     {}
func (w *writer) MapKey(int)   {}
func (w *writer) MapValue()    {}
func (w *writer) MapEnd()      {}
