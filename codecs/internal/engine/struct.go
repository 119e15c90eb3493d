package engine

import (
	"reflect"
)

// structPlan is a struct type's fields, and how to find them by name.
type structPlan struct {
	typ    reflect.Type
	fields []Field
	byName map[string]int
	omits  bool // some field may be left out
}

func (b builder) fillStruct(p *plan) {
	fields, err := b.fieldsOf(p.typ)
	if err != nil {
		fillRefused(p, err.Error())
		return
	}
	if len(fields) == 0 && p.typ.NumField() > 0 {
		fillRefused(p, "it has no exported fields, and no methods of package value to say how it is encoded")
		return
	}
	s := &structPlan{typ: p.typ, fields: fields, byName: make(map[string]int, len(fields))}
	for i, f := range fields {
		s.byName[f.Name] = i
		s.omits = s.omits || f.omit != nil || len(f.index) > 1
	}
	p.enc = s.encode
	p.dec = s.decode
}

func (s *structPlan) encode(e *Encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	n := len(s.fields)
	if s.omits {
		n = s.count(v)
	}
	e.W.MapBegin(n, true)
	i := 0
	for k := range s.fields {
		f := &s.fields[k]
		x, ok := f.Get(v)
		if !ok {
			continue
		}
		if err := e.W.TextKey(i, f.Name); err != nil {
			return err
		}
		if err := f.plan.enc(e, x); err != nil {
			return Within(Key(f.Name), err)
		}
		i++
	}
	e.W.MapEnd()
	e.leave()
	return nil
}

// count returns how many fields of v are encoded.
func (s *structPlan) count(v reflect.Value) int {
	n := 0
	for k := range s.fields {
		if _, ok := s.fields[k].Get(v); ok {
			n++
		}
	}
	return n
}

// Get returns the field of struct v, unless it is left out.
func (f *Field) Get(v reflect.Value) (reflect.Value, bool) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, f.omit == nil || !f.omit(v)
}

// Set returns the field of struct v for setting, having made the embedded
// structs on the way.
func (f *Field) Set(b *Budget, v reflect.Value) (reflect.Value, error) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if err := b.Charge(int(v.Type().Elem().Size())); err != nil {
					return v, err
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, nil
}

func (s *structPlan) decode(d *Decoder, v reflect.Value) error {
	if err := d.next(Map, s.typ); err != nil {
		return err
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	v.SetZero()
	var seen seenFields
	for expected := 0; ; expected++ {
		more, err := d.R.More(t)
		if err != nil {
			return err
		}
		if !more {
			d.close()
			return nil
		}
		if err := d.R.Key(t, &d.tok); err != nil {
			return err
		}
		i, err := s.find(&d.tok, expected)
		if err != nil {
			return err
		}
		f := &s.fields[i]
		if seen.again(i) {
			return Within(Key(f.Name), cannot("a field that came before"))
		}
		if err := d.R.Value(t); err != nil {
			return err
		}
		x, err := f.Set(&d.Budget, v)
		if err != nil {
			return err
		}
		if err := f.plan.dec(d, x); err != nil {
			return Within(Key(f.Name), err)
		}
		expected = i
	}
}

// find returns the field that k names. Most often it is the one after the last
// one, which saves the look into the map.
func (s *structPlan) find(k *Token, expected int) (int, error) {
	if k.Kind != String {
		return 0, mismatch("the name of a field of "+s.typ.String(), k)
	}
	if expected < len(s.fields) && s.fields[expected].Name == string(k.Data) {
		return expected, nil
	}
	if i, ok := s.byName[string(k.Data)]; ok {
		return i, nil
	}
	return 0, Within(Key(string(k.Data)), cannot("no such field in %v", s.typ))
}

// seenFields is a set of field numbers. Few structs have more than 64.
type seenFields struct {
	first uint64
	rest  map[int]bool
}

// again adds i and reports whether it was there before.
func (s *seenFields) again(i int) bool {
	if i < 64 {
		was := s.first&(1<<i) != 0
		s.first |= 1 << i
		return was
	}
	if s.rest == nil {
		s.rest = make(map[int]bool)
	}
	was := s.rest[i]
	s.rest[i] = true
	return was
}
