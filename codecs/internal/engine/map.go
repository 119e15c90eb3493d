package engine

import (
	"fmt"
	"reflect"
)

func (b builder) fillMap(p *plan) {
	p.null = true
	key, elem := b.plan(p.typ.Key()), b.plan(p.typ.Elem())
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			e.W.Null()
			return nil
		}
		if err := e.enter(); err != nil {
			return err
		}
		defer e.leave()
		return e.entries(v, key, elem)
	}
	p.dec = func(d *Decoder, v reflect.Value) error { return d.entries(v, key, elem) }
}

// entries encodes a map. Its keys are text if their type is, or if they are
// interfaces that all hold a string.
func (e *Encoder) entries(v reflect.Value, key, elem *plan) error {
	toText := key.text
	if key.typ.Kind() == reflect.Interface && allStrings(v) {
		toText = func(k reflect.Value) (string, error) { return k.Elem().String(), nil }
	}
	e.W.MapBegin(v.Len(), toText != nil)
	k := reflect.New(key.typ).Elem()
	x := reflect.New(elem.typ).Elem()
	iter := v.MapRange()
	for i := 0; iter.Next(); i++ {
		k.SetIterKey(iter)
		x.SetIterValue(iter)
		if err := e.entryKey(i, k, key, toText); err != nil {
			return err
		}
		if err := elem.enc(e, x); err != nil {
			return Within(stepTo(k), err)
		}
	}
	e.W.MapEnd()
	return nil
}

func (e *Encoder) entryKey(i int, k reflect.Value, key *plan, toText func(reflect.Value) (string, error)) error {
	if toText == nil {
		if !canBeKey(k) {
			return cannot("a map key of Go type %v: keys must be scalars", k.Type())
		}
		e.W.MapKey(i)
		if err := key.enc(e, k); err != nil {
			return err
		}
		e.W.MapValue()
		return nil
	}
	text, err := toText(k)
	if err != nil {
		return err
	}
	return e.textKey(i, text)
}

func allStrings(m reflect.Value) bool {
	for iter := m.MapRange(); iter.Next(); {
		if k := iter.Key(); k.IsNil() || k.Elem().Type() != stringType {
			return false
		}
	}
	return true
}

// canBeKey reports whether k, a key of a Go map, is encoded as a scalar that can
// be told from every other key.
func canBeKey(k reflect.Value) bool {
	if k.Kind() == reflect.Interface {
		if k.IsNil() {
			return true
		}
		k = k.Elem()
	}
	if f := k; f.CanFloat() && f.Float() != f.Float() {
		return false
	}
	return planOf(k.Type()).key != nil
}

// stepTo is the step of a path to the value of key k.
func stepTo(k reflect.Value) string {
	if k.Kind() == reflect.String {
		return Key(k.String())
	}
	return Index(fmt.Sprint(k.Interface()))
}

func (d *Decoder) entries(v reflect.Value, key, elem *plan) error {
	if d.R.Null() {
		v.SetZero()
		return nil
	}
	if err := d.next(Map, v.Type()); err != nil {
		return err
	}
	if key.key == nil {
		return cannot("Go type %v: its keys are no scalars", v.Type())
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	defer d.close()
	n := max(t.Len, 0)
	if err := d.ChargeMap(n, key.typ, elem.typ); err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	var k, x reflect.Value
	known := n
	for i := 0; ; i++ {
		more, err := d.R.More(t)
		if err != nil || !more {
			return err
		}
		if i == 0 {
			if err := d.Charge(int(key.typ.Size() + elem.typ.Size())); err != nil {
				return err
			}
			k, x = reflect.New(key.typ).Elem(), reflect.New(elem.typ).Elem()
		}
		if i == known {
			if known, err = d.growMap(known, key.typ, elem.typ); err != nil {
				return err
			}
		}
		if err := d.entry(t, key, elem, k, x); err != nil {
			return err
		}
		v.SetMapIndex(k, x)
		if v.Len() == i {
			return Within(stepTo(k), cannot("a key that the map already has"))
		}
	}
}

// entry decodes one entry of a map into k and x, whose former contents are in
// the map by now.
func (d *Decoder) entry(m *Frame, key, elem *plan, k, x reflect.Value) error {
	k.SetZero()
	x.SetZero()
	if err := d.R.Key(m, &d.tok); err != nil {
		return err
	}
	if err := key.key(d, &d.tok, k); err != nil {
		return Within("[key]", err)
	}
	if err := d.R.Value(m); err != nil {
		return err
	}
	if err := elem.dec(d, x); err != nil {
		return Within(stepTo(k), err)
	}
	return nil
}
