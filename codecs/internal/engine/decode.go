package engine

import (
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// Decoder decodes values from a Reader into Go values. It is for one goroutine
// at a time.
type Decoder struct {
	R Reader
	Budget
	tokens
}

// Reset makes d, which has no frames open, ready to decode from r a value whose
// encoded form has size bytes.
func (d *Decoder) Reset(r Reader, size int) {
	d.R, d.Budget = r, NewBudget(size)
}

// Decode decodes the next value into v, which must be settable.
func (d *Decoder) Decode(v reflect.Value) error {
	return planOf(v.Type()).dec(d, v)
}

// DecodeInto decodes the next value into what pointer points to.
func (d *Decoder) DecodeInto(pointer any) error {
	switch p := pointer.(type) {
	case *any:
		x, err := d.dynamic()
		if err == nil {
			*p = x
		}
		return err
	case nil:
		return cannot("a nil target to decode into")
	}
	v := reflect.ValueOf(pointer)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return cannot("a %v to decode into: want a pointer that is not nil", v.Type())
	}
	return d.Decode(v.Elem())
}

// next reads a token and requires one of kind.
func (d *Decoder) next(kind Kind, t reflect.Type) error {
	if err := d.R.Next(&d.tok); err != nil {
		return err
	}
	if d.tok.Kind != kind {
		return mismatch(t.String(), &d.tok)
	}
	return nil
}

// enter begins the list, map or named value whose token has been read, and close
// ends it. The limit repeats that of [Checker]: a decoder is safe without it.
func (d *Decoder) enter() (*Frame, error) {
	if len(d.frames) == value.MaxDepth {
		return nil, errTooDeep()
	}
	return d.open(), nil
}

// text copies the contents of a String token.
func (d *Decoder) text(t *Token) (string, error) {
	if err := d.Charge(len(t.Data)); err != nil {
		return "", err
	}
	return string(t.Data), nil
}

// bytes copies the contents of a Bytes token.
func (d *Decoder) bytes(t *Token) ([]byte, error) {
	if err := d.Charge(len(t.Data)); err != nil {
		return nil, err
	}
	return append(make([]byte, 0, len(t.Data)), t.Data...), nil
}
