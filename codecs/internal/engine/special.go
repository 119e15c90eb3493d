package engine

import (
	"encoding"
	"reflect"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

func encTime(e *Encoder, v reflect.Value) error { return e.W.Time(v.Interface().(time.Time)) }
func decTime(d *Decoder, v reflect.Value) error { return d.scalar(v, keyTime) }

func keyTime(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != Time {
		return mismatch("time.Time", t)
	}
	v.Set(reflect.ValueOf(t.GoTime()))
	return nil
}

func encDate(e *Encoder, v reflect.Value) error { return e.date(v.Interface().(value.Date)) }
func decDate(d *Decoder, v reflect.Value) error { return d.scalar(v, keyDate) }

func keyDate(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != Date {
		return mismatch("value.Date", t)
	}
	v.Set(reflect.ValueOf(value.DateOf(t.GoTime())))
	return nil
}

func (e *Encoder) date(d value.Date) error {
	if !d.Valid() {
		return cannot("%v, which is not a date of the years 1 to 9999", d)
	}
	e.W.Date(d)
	return nil
}

func encDateTime(e *Encoder, v reflect.Value) error {
	return e.dateTime(v.Interface().(value.DateTime))
}
func decDateTime(d *Decoder, v reflect.Value) error { return d.scalar(v, keyDateTime) }

func keyDateTime(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != DateTime {
		return mismatch("value.DateTime", t)
	}
	v.Set(reflect.ValueOf(value.DateTimeOf(t.GoTime())))
	return nil
}

func (e *Encoder) dateTime(d value.DateTime) error {
	if !d.Valid() {
		return cannot("%v, which is not a date and time of the years 1 to 9999", d)
	}
	e.W.DateTime(d)
	return nil
}

func encBytesKey(e *Encoder, v reflect.Value) error { e.W.Bytes([]byte(v.String())); return nil }
func decBytesKey(d *Decoder, v reflect.Value) error { return d.scalar(v, keyBytesKey) }

func keyBytesKey(d *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != Bytes {
		return mismatch("value.Bytes", t)
	}
	s, err := d.text(t)
	if err == nil {
		v.SetString(s)
	}
	return err
}

func encRef(e *Encoder, v reflect.Value) error { return e.ref(v.Interface().(value.Ref)) }

func (e *Encoder) ref(r value.Ref) error {
	if r.ID == "" {
		return cannot("an object reference without an id")
	}
	e.W.Ref(r)
	return nil
}

func decRef(d *Decoder, v reflect.Value) error {
	if err := d.next(Ref, refType); err != nil {
		return err
	}
	v.Set(reflect.ValueOf(*d.tok.Ref))
	return nil
}

func encNamed(e *Encoder, v reflect.Value) error { return e.named(v.Interface().(value.Named)) }

func (e *Encoder) named(n value.Named) error {
	if n.Name == "" {
		return cannot("a value.Named without a name")
	}
	switch n.Value.(type) {
	case value.Named, *value.Named:
		return cannot("a value.Named within a value.Named")
	}
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.W.NamedBegin(n.Name); err != nil {
		return err
	}
	if err := e.EncodeAny(n.Value); err != nil {
		return err
	}
	e.W.NamedEnd()
	e.leave()
	return nil
}

func decNamed(d *Decoder, v reflect.Value) error {
	if err := d.next(Named, namedType); err != nil {
		return err
	}
	n, err := d.named()
	if err == nil {
		v.Set(reflect.ValueOf(n))
	}
	return err
}

// named decodes the named value whose token has been read.
func (d *Decoder) named() (value.Named, error) {
	t, err := d.enter()
	if err != nil {
		return value.Named{}, err
	}
	defer d.close()
	name, err := d.text(&d.tok)
	if err != nil {
		return value.Named{}, err
	}
	inner, err := d.dynamic()
	if err != nil {
		return value.Named{}, err
	}
	return value.Named{Name: name, Value: inner}, d.R.Close(t)
}

// asInterface returns v, or a pointer to it if v's own type lacks the methods of
// T because they are on the pointer.
func asInterface[T any](v reflect.Value) T {
	if x, ok := v.Interface().(T); ok {
		return x
	}
	if !v.CanAddr() {
		addressable := reflect.New(v.Type()).Elem()
		addressable.Set(v)
		v = addressable
	}
	return v.Addr().Interface().(T)
}

func marshalText(v reflect.Value) (string, error) {
	text, err := asInterface[encoding.TextMarshaler](v).MarshalText()
	if err != nil {
		return "", &value.Error{Got: v.Type().String(), Err: err}
	}
	return string(text), nil
}

func encText(e *Encoder, v reflect.Value) error {
	text, err := marshalText(v)
	if err != nil {
		return err
	}
	return e.string(text)
}

func decText(d *Decoder, v reflect.Value) error { return d.scalar(v, keyText) }

func keyText(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != String {
		return mismatch(v.Type().String(), t)
	}
	err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(append([]byte(nil), t.Data...))
	if err != nil {
		return &value.Error{Want: v.Type().String(), Got: "string", Err: err}
	}
	return nil
}

// encHook lets the value say what is encoded in its place. Each replacement
// counts as a level, so that a value that names itself comes to an end.
func encHook(e *Encoder, v reflect.Value) error {
	x, err := asInterface[value.Encoder](v).EncodeValue()
	if err != nil {
		return &value.Error{Got: v.Type().String(), Err: err}
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.EncodeAny(x)
}

// hookCost is what calling a hook takes at least.
const hookCost = 128

// decHook lets the value read itself, as often as it likes from the same place.
func decHook(d *Decoder, v reflect.Value) error {
	if err := d.Charge(hookCost); err != nil {
		return err
	}
	start := d.R.Pos()
	if err := d.R.Skip(); err != nil {
		return err
	}
	end := d.R.Pos()
	done := false
	err := v.Addr().Interface().(value.Decoder).DecodeValue(func(into any) error {
		if done {
			return cannot("a decode function that was used after DecodeValue had returned")
		}
		d.R.Seek(start)
		depth := len(d.frames)
		defer func() { d.frames = d.frames[:depth] }() // after an error, some are open
		return d.DecodeInto(into)
	})
	done = true
	d.R.Seek(end)
	if err == nil {
		return nil
	}
	if _, ours := err.(*value.Error); ours { //nolint:errorlint // it has a path
		return err
	}
	return &value.Error{Want: v.Type().String(), Err: err}
}
