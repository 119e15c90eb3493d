package synth

import (
	"encoding"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// field is a field of a message that is made here.
type field struct {
	num      protowire.Number
	name     string // an identifier
	jsonName string // what it is called in Go
	typ      reflect.Type

	one      *single // its value, its elements, or the values of a map
	key      *single // the keys of a map
	repeated bool
	optional bool // it can be told whether it is there

	// append appends the field with value v, if it is to be written.
	append func(depth int, b []byte, v reflect.Value) ([]byte, error)

	// merge merges a record of the field into v.
	merge func(d *decoder, r record, v reflect.Value) error
}

// field makes a field for a Go type. A required one, of a request or response, is
// written though it is zero, so that a missing one is seen.
func (b *builder) field(num protowire.Number, name string, t reflect.Type, required bool) (*field, error) {
	f := &field{num: num, name: identifier(name), jsonName: name, typ: t}
	var err error
	switch {
	case hasOwnForm(t):
		err = b.fillSingle(f, required)
	case t.Kind() == reflect.Slice:
		err = b.fillList(f)
	case t.Kind() == reflect.Map:
		err = b.fillMap(f)
	case t.Kind() == reflect.Pointer && !isMessage(t.Elem()) && t.Elem().Kind() != reflect.Pointer:
		err = b.fillOptional(f)
	default:
		err = b.fillSingle(f, required)
	}
	return f, err
}

// hasOwnForm reports whether values of t are single values though t may be a list
// or map.
func hasOwnForm(t reflect.Type) bool {
	return isBytes(t) || ownMessage(t) != nil ||
		implements[value.Encoder](t) || implements[value.Decoder](t) ||
		implements[encoding.TextMarshaler](t) && implements[encoding.TextUnmarshaler](t)
}

// identifier returns name with all that can't be in an identifier replaced.
func identifier(name string) string {
	id := []byte(name)
	for i, c := range id {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			id[i] = '_'
		}
	}
	if len(id) == 0 {
		return "_"
	}
	return string(id)
}

func (b *builder) fillSingle(f *field, required bool) (err error) {
	if f.one, err = b.single(f.typ); err != nil {
		return err
	}
	f.optional = required && f.one.kind != kindMessage
	one, num := f.one, f.num
	zero := one.zero
	if f.optional {
		zero = neverZero
	}
	f.append = func(depth int, b []byte, v reflect.Value) ([]byte, error) {
		if zero(v) {
			return b, nil
		}
		return one.enc(depth, protowire.AppendTag(b, num, one.wire), v)
	}
	f.merge = one.set
	return nil
}

// set is dec for a record that may be of another type.
func (s *single) set(d *decoder, r record, v reflect.Value) error {
	if r.typ != s.wire {
		return mismatch(v.Type(), fmt.Sprintf("a field of wire type %d", r.typ))
	}
	return s.dec(d, r, v)
}

// fillOptional is for pointers to what is no message.
func (b *builder) fillOptional(f *field) (err error) {
	elem := f.typ.Elem()
	if f.one, err = b.single(elem); err != nil {
		return err
	}
	f.optional = f.one.kind != kindMessage
	one, num := f.one, f.num
	f.append = func(depth int, b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return b, nil
		}
		return one.enc(depth, protowire.AppendTag(b, num, one.wire), v.Elem())
	}
	f.merge = func(d *decoder, r record, v reflect.Value) error {
		if err := d.Charge(int(elem.Size())); err != nil {
			return err
		}
		p := reflect.New(elem)
		if err := one.set(d, r, p.Elem()); err != nil {
			return err
		}
		v.Set(p.Convert(v.Type()))
		return nil
	}
	return nil
}

// fillList is for slices. No elements and no slice are the same thing.
func (b *builder) fillList(f *field) (err error) {
	if f.one, err = b.single(f.typ.Elem()); err != nil {
		return err
	}
	f.repeated = true
	if f.one.packed {
		f.append = f.appendPacked
	} else {
		f.append = f.appendList
	}
	f.merge = f.mergeList
	return nil
}

func (f *field) appendPacked(depth int, b []byte, v reflect.Value) ([]byte, error) {
	if v.Len() == 0 {
		return b, nil
	}
	return appendSized(protowire.AppendTag(b, f.num, protowire.BytesType), func(b []byte) (_ []byte, err error) {
		for i := range v.Len() {
			if b, err = f.one.enc(depth, b, v.Index(i)); err != nil {
				return nil, engine.Within(engine.Index(i), err)
			}
		}
		return b, nil
	})
}

func (f *field) appendList(depth int, b []byte, v reflect.Value) (_ []byte, err error) {
	for i := range v.Len() {
		b = protowire.AppendTag(b, f.num, f.one.wire)
		if b, err = f.one.enc(depth, b, v.Index(i)); err != nil {
			return nil, engine.Within(engine.Index(i), err)
		}
	}
	return b, nil
}

// mergeList appends one element, or several that are packed into one record.
// Numbers may come either way, whatever the descriptor says.
func (f *field) mergeList(d *decoder, r record, v reflect.Value) error {
	if r.typ != protowire.BytesType || !f.one.packed {
		return f.mergeElement(d, r, v)
	}
	for data := r.data; len(data) > 0; {
		elem, n := packed(data, f.one.wire)
		if n < 0 {
			return &value.Error{Want: f.typ.String(), Err: wireError(n)}
		}
		data = data[n:]
		if err := f.mergeElement(d, elem, v); err != nil {
			return err
		}
	}
	return nil
}

// packed reads one of several numbers in a record.
func packed(data []byte, wire protowire.Type) (r record, n int) {
	r.typ = wire
	switch wire {
	case protowire.Fixed32Type:
		var u uint32
		u, n = protowire.ConsumeFixed32(data)
		r.bits = uint64(u)
	case protowire.Fixed64Type:
		r.bits, n = protowire.ConsumeFixed64(data)
	default:
		r.bits, n = protowire.ConsumeVarint(data)
	}
	return r, n
}

func (f *field) mergeElement(d *decoder, r record, v reflect.Value) error {
	i := v.Len()
	if i == v.Cap() {
		n := max(4, 2*i)
		if err := d.ChargeSlice(n, v.Type().Elem()); err != nil {
			return err
		}
		v.Grow(n - i)
	}
	v.SetLen(i + 1)
	elem := v.Index(i)
	elem.SetZero()
	if err := f.one.set(d, r, elem); err != nil {
		return engine.Within(engine.Index(i), err)
	}
	return nil
}

// fillMap is for maps. No entries and no map are the same thing.
func (b *builder) fillMap(f *field) (err error) {
	if f.one, err = b.single(f.typ.Elem()); err != nil {
		return err
	}
	if f.key, err = b.single(f.typ.Key()); err != nil {
		return err
	}
	switch f.key.kind {
	case kindString, kindBool, kindInt32, kindInt64, kindUint32, kindUint64:
	default:
		return fmt.Errorf("%v: protobuf has no maps with such keys", f.typ)
	}
	f.append, f.merge = f.appendMap, f.mergeMap
	return nil
}

const (
	// The fields of an entry.
	numKey   = 1
	numValue = 2

	// entryCost is what an entry of a growing map takes besides three times
	// its key and value, about.
	entryCost = 16
)

func (f *field) appendMap(depth int, b []byte, v reflect.Value) ([]byte, error) {
	key := reflect.New(f.typ.Key()).Elem()
	elem := reflect.New(f.typ.Elem()).Elem()
	for iter := v.MapRange(); iter.Next(); {
		key.SetIterKey(iter)
		elem.SetIterValue(iter)
		var err error
		b, err = appendSized(protowire.AppendTag(b, f.num, protowire.BytesType), func(b []byte) ([]byte, error) {
			return f.appendEntry(depth, b, key, elem)
		})
		if err != nil {
			return nil, engine.Within(engine.Index(key.Interface()), err)
		}
	}
	return b, nil
}

func (f *field) appendEntry(depth int, b []byte, key, elem reflect.Value) ([]byte, error) {
	b, err := f.key.enc(depth, protowire.AppendTag(b, numKey, f.key.wire), key)
	if err != nil {
		return nil, err
	}
	return f.one.enc(depth, protowire.AppendTag(b, numValue, f.one.wire), elem)
}

// mergeMap adds one entry. As protobuf has it, the last one of a key counts, and
// a missing key or value is zero.
func (f *field) mergeMap(d *decoder, r record, v reflect.Value) error {
	if r.typ != protowire.BytesType {
		return mismatch(f.typ, fmt.Sprintf("a field of wire type %d", r.typ))
	}
	if err := d.Charge(entryCost + 3*int(f.typ.Key().Size()+f.typ.Elem().Size())); err != nil {
		return err
	}
	key := reflect.New(f.typ.Key()).Elem()
	elem := reflect.New(f.typ.Elem()).Elem()
	for data := r.data; len(data) > 0; {
		r, err := next(data)
		if err != nil {
			return &value.Error{Want: f.typ.String(), Err: err}
		}
		data = data[r.size:]
		switch r.num {
		case numKey:
			err = f.key.set(d, r, key)
		case numValue:
			err = f.one.set(d, r, elem)
		default:
			err = &value.Error{Want: f.typ.String(), Got: fmt.Sprintf("an entry with an unknown field %d", r.num)}
		}
		if err != nil {
			return engine.Within(engine.Index(key.Interface()), err)
		}
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(f.typ))
	}
	v.SetMapIndex(key, elem)
	return nil
}
