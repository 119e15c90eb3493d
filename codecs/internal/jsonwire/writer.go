package jsonwire

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// writer writes tokens of JSON. It implements engine.Sink.
type writer struct {
	buf  []byte
	maps []form // of each map that is open
}

// form is how a map is written.
type form uint8

const (
	object  form = iota
	noPairs      // a list of pairs that has none yet
	pairs
)

// Reset makes w append to dst.
func (w *writer) Reset(dst []byte) { w.buf, w.maps = dst, w.maps[:0] }

// Finish returns what was written.
func (w *writer) Finish() ([]byte, error) { return w.buf, nil }

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }

func (w *writer) Null()         { w.raw("null") }
func (w *writer) Bool(b bool)   { w.buf = strconv.AppendBool(w.buf, b) }
func (w *writer) Int(i int64)   { w.buf = strconv.AppendInt(w.buf, i, 10) }
func (w *writer) Uint(u uint64) { w.buf = strconv.AppendUint(w.buf, u, 10) }

// Float32 writes as many digits as the float64 of the same value needs, so that
// the value is the same for readers that have only those.
func (w *writer) Float32(f float32) error { return w.Float64(float64(f)) }

// Float64 writes the shortest number that is read as f, always with a fraction
// or an exponent, by which readers tell it from an integer.
func (w *writer) Float64(f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return &value.Error{Got: strconv.FormatFloat(f, 'g', -1, 64) + ", which JSON has no form for"}
	}
	if abs := math.Abs(f); f != 0 && (abs < 1e-6 || abs >= 1e21) {
		w.buf = strconv.AppendFloat(w.buf, f, 'e', -1, 64)
		return nil
	}
	w.buf = strconv.AppendFloat(w.buf, f, 'f', -1, 64)
	if f == math.Trunc(f) {
		w.raw(".0")
	}
	return nil
}

func (w *writer) String(s string) error {
	w.buf = append(w.buf, '"')
	w.escaped(s)
	w.buf = append(w.buf, '"')
	return nil
}

const hexDigits = "0123456789abcdef"

// escaped writes s, escaping what JSON demands and nothing else.
func (w *writer) escaped(s string) {
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.buf = append(w.buf, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			w.buf = append(w.buf, '\\', c)
		case '\n':
			w.raw(`\n`)
		case '\r':
			w.raw(`\r`)
		case '\t':
			w.raw(`\t`)
		default:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	w.buf = append(w.buf, s[start:]...)
}

func (w *writer) Bytes(b []byte) {
	w.raw(`{"` + keyBytes + `":"`)
	w.buf = base64.StdEncoding.AppendEncode(w.buf, b)
	w.raw(`"}`)
}

func (w *writer) Time(t time.Time) error {
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return &value.Error{Got: "a time outside of the years 1 to 9999, which RFC 3339 has no form for"}
	}
	w.raw(`{"` + keyTime + `":"`)
	w.buf = t.AppendFormat(w.buf, time.RFC3339Nano)
	w.raw(`"}`)
	return nil
}

func (w *writer) Date(d value.Date)         { w.raw(`{"` + keyDate + `":"` + d.String() + `"}`) }
func (w *writer) DateTime(d value.DateTime) { w.raw(`{"` + keyDateTime + `":"` + d.String() + `"}`) }

func (w *writer) Ref(r value.Ref) {
	w.raw(`{"` + keyRef + `":{"class":`)
	_ = w.String(r.Class) // has no error to return
	w.raw(`,"id":`)
	_ = w.String(r.ID)
	w.raw(`,"host":`)
	_ = w.String(r.Host)
	w.raw(`}}`)
}

func (w *writer) NamedBegin(name string) error {
	w.raw(`{"` + keyType + `":`)
	_ = w.String(name)
	w.raw(`,"` + keyValue + `":`)
	return nil
}

func (w *writer) NamedEnd() { w.raw("}") }

func (w *writer) ListBegin(int)  { w.raw("[") }
func (w *writer) ListItem(i int) { w.comma(i) }
func (w *writer) ListEnd()       { w.raw("]") }

// comma separates element i from the one before.
func (w *writer) comma(i int) {
	if i > 0 {
		w.raw(",")
	}
}

func (w *writer) MapBegin(_ int, text bool) {
	if text {
		w.maps = append(w.maps, object)
		w.raw("{")
		return
	}
	w.maps = append(w.maps, noPairs)
	w.raw(`{"` + keyMap + `":[`)
}

func (w *writer) TextKey(i int, key string) error {
	w.comma(i)
	w.raw(`"`)
	if key != "" && key[0] == '$' {
		w.raw("$")
	}
	w.escaped(key)
	w.raw(`":`)
	return nil
}

func (w *writer) MapKey(i int) {
	if i > 0 {
		w.raw("],")
	}
	w.raw("[")
	w.maps[len(w.maps)-1] = pairs
}

func (w *writer) MapValue() { w.raw(",") }

func (w *writer) MapEnd() {
	last := len(w.maps) - 1
	switch w.maps[last] {
	case object:
		w.raw("}")
	case noPairs:
		w.raw("]}")
	case pairs:
		w.raw("]]}")
	}
	w.maps = w.maps[:last]
}

// Message writes the ProtoJSON form of m.
func (w *writer) Message(m proto.Message) error {
	data, err := protojson.MarshalOptions{}.MarshalAppend(w.buf, m)
	if err != nil {
		return &value.Error{Got: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	w.buf = data
	return nil
}
