package engine

import (
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// maxPointers is how many pointers may be followed to get from one value to the
// next. It ends types like "type P *P".
const maxPointers = 4

func (b builder) fillPointer(p *plan) {
	t := p.typ
	for range maxPointers {
		if t = t.Elem(); t.Kind() != reflect.Pointer {
			break
		}
	}
	if t.Kind() == reflect.Pointer {
		fillRefused(p, "too many pointers to pointers")
		return
	}
	elem := b.plan(p.typ.Elem())
	p.null = true
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return encNilPointer(e, v)
		}
		return elem.enc(e, v.Elem())
	}
	if t.Kind() == reflect.Interface {
		p.enc = countPointer(p.enc)
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.R.Null() {
			v.SetZero()
			return nil
		}
		if err := d.Charge(int(elem.typ.Size())); err != nil {
			return err
		}
		pointer := reflect.New(elem.typ)
		if err := elem.dec(d, pointer.Elem()); err != nil {
			return err
		}
		v.Set(pointer.Convert(v.Type()))
		return nil
	}
}

// encNilPointer encodes null, unless the type wants to be asked. A method of the
// value can't be called on a nil pointer, one of the pointer can.
func encNilPointer(e *Encoder, v reflect.Value) error {
	hook, ok := v.Interface().(value.Encoder)
	if !ok || v.Type().Elem().Implements(encoderType) {
		e.W.Null()
		return nil
	}
	x, err := hook.EncodeValue()
	if err != nil {
		return &value.Error{Got: v.Type().String(), Err: err}
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.EncodeAny(x)
}

// countPointer makes a pointer to an interface count as a level, since such
// pointers can form a ring without any list or map in it.
func countPointer(enc func(*Encoder, reflect.Value) error) func(*Encoder, reflect.Value) error {
	return func(e *Encoder, v reflect.Value) error {
		if err := e.enter(); err != nil {
			return err
		}
		defer e.leave()
		return enc(e, v)
	}
}

func (b builder) fillInterface(p *plan) {
	p.null = true
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			e.W.Null()
			return nil
		}
		if v.NumMethod() == 0 {
			return e.EncodeAny(v.Interface())
		}
		v = v.Elem()
		return planOf(v.Type()).enc(e, v)
	}
	if p.typ.NumMethod() == 0 {
		p.dec, p.key = decAny, keyAny
		return
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.R.Null() {
			v.SetZero()
			return nil
		}
		return cannot("Go type %v: nothing says which type to decode into an interface with methods", p.typ)
	}
}

func decAny(d *Decoder, v reflect.Value) error {
	x, err := d.dynamic()
	if err != nil {
		return err
	}
	setAny(v, x)
	return nil
}

func keyAny(d *Decoder, t *Token, v reflect.Value) error {
	x, err := d.dynamicKey(t)
	if err != nil {
		return err
	}
	setAny(v, x)
	return nil
}

func setAny(v reflect.Value, x any) {
	if x == nil {
		v.SetZero()
		return
	}
	v.Set(reflect.ValueOf(x))
}
