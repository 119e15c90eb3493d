package engine

import (
	"fmt"
	"reflect"
)

// isByte reports whether t is a byte without methods of its own, so that a slice
// of it is binary data.
func isByte(t reflect.Type) bool {
	return t.Kind() == reflect.Uint8 && t.NumMethod() == 0 && reflect.PointerTo(t).NumMethod() == 0
}

func (b builder) fillSlice(p *plan) {
	p.null = true
	if isByte(p.typ.Elem()) {
		p.enc, p.dec = encByteSlice, decByteSlice
		return
	}
	elem := b.plan(p.typ.Elem())
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			e.W.Null()
			return nil
		}
		return e.list(v, elem)
	}
	p.dec = func(d *Decoder, v reflect.Value) error { return d.slice(v, elem) }
}

func encByteSlice(e *Encoder, v reflect.Value) error {
	if v.IsNil() {
		e.W.Null()
		return nil
	}
	e.W.Bytes(v.Bytes())
	return nil
}

func decByteSlice(d *Decoder, v reflect.Value) error {
	if err := d.R.Next(&d.tok); err != nil {
		return err
	}
	switch d.tok.Kind {
	case Null:
		v.SetZero()
	case Bytes:
		data, err := d.bytes(&d.tok)
		if err != nil {
			return err
		}
		v.SetBytes(data)
	default:
		return mismatch(v.Type().String(), &d.tok)
	}
	return nil
}

// list encodes a slice or array.
func (e *Encoder) list(v reflect.Value, elem *plan) error {
	if err := e.enter(); err != nil {
		return err
	}
	n := v.Len()
	e.W.ListBegin(n)
	for i := range n {
		e.W.ListItem(i)
		if err := elem.enc(e, v.Index(i)); err != nil {
			return Within(Index(i), err)
		}
	}
	e.W.ListEnd()
	e.leave()
	return nil
}

func (d *Decoder) slice(v reflect.Value, elem *plan) error {
	if d.R.Null() {
		v.SetZero()
		return nil
	}
	if err := d.next(List, v.Type()); err != nil {
		return err
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	defer d.close()
	n := max(t.Len, 0)
	if err := d.ChargeSlice(n, elem.typ); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := 0; ; i++ {
		more, err := d.R.More(t)
		if err != nil {
			return err
		}
		if !more {
			v.SetLen(i)
			return nil
		}
		if i == v.Len() {
			if err := d.growSlice(v, elem.typ); err != nil {
				return err
			}
		}
		if err := elem.dec(d, v.Index(i)); err != nil {
			return Within(Index(i), err)
		}
	}
}

// growSlice makes room for more elements. The format did not say how many there
// are.
func (d *Decoder) growSlice(v reflect.Value, elem reflect.Type) error {
	n := max(4, 2*v.Len())
	if err := d.ChargeSlice(n, elem); err != nil {
		return err
	}
	larger := reflect.MakeSlice(v.Type(), n, n)
	reflect.Copy(larger, v)
	v.Set(larger)
	return nil
}

func (b builder) fillArray(p *plan) {
	if isByte(p.typ.Elem()) {
		p.enc, p.dec, p.key = encByteArray, decByteArray, keyByteArray
		return
	}
	elem := b.plan(p.typ.Elem())
	p.enc = func(e *Encoder, v reflect.Value) error { return e.list(v, elem) }
	p.dec = func(d *Decoder, v reflect.Value) error { return d.array(v, elem) }
}

func encByteArray(e *Encoder, v reflect.Value) error {
	if v.CanAddr() {
		e.W.Bytes(v.Bytes())
		return nil
	}
	data := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(data), v)
	e.W.Bytes(data)
	return nil
}

func decByteArray(d *Decoder, v reflect.Value) error { return d.scalar(v, keyByteArray) }

func keyByteArray(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != Bytes {
		return mismatch(v.Type().String(), t)
	}
	if len(t.Data) != v.Len() {
		return cannotFit(v, len(t.Data), "bytes")
	}
	reflect.Copy(v, reflect.ValueOf(t.Data))
	return nil
}

func (d *Decoder) array(v reflect.Value, elem *plan) error {
	if err := d.next(List, v.Type()); err != nil {
		return err
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	defer d.close()
	for i := 0; ; i++ {
		more, err := d.R.More(t)
		if err != nil {
			return err
		}
		switch {
		case !more && i == v.Len():
			return nil
		case !more:
			return cannotFit(v, i, "elements")
		case i == v.Len():
			return cannotFit(v, i+1, "elements or more")
		}
		if err := elem.dec(d, v.Index(i)); err != nil {
			return Within(Index(i), err)
		}
	}
}

func cannotFit(v reflect.Value, n int, what string) error {
	return mismatchText(v.Type().String(), fmt.Sprintf("%d %s", n, what))
}
