package bind

import (
	"fmt"
	"reflect"
)

// References are parameters and results by themselves. What is inside of another value,
// a list or a struct, is not looked at in each call, and would be copied field by field
// if it could be: that is refused, where the type shows it when the signature is read,
// and where it doesn't when the value is sent.

func nestedRef(t reflect.Type) error {
	return fmt.Errorf("%v is an object that travels as a reference, "+
		"which only a parameter or result by itself does, and not what is inside of another value or a stream", t)
}

// maxDepth is as deep as codecs carry values.
const maxDepth = 100

// Carries says why a value that is sent can't be, as far as that is about references.
func (p Parser) Carries(v reflect.Value) error {
	if p.Ref == nil {
		return nil
	}
	return findRef(v, p.Ref, maxDepth)
}

// carry is Carries for values of a signature's types, of which most need no look.
func (s *Signature) carry(open bool, values []reflect.Value) error {
	if !open || s.refs == nil {
		return nil
	}
	for _, v := range values {
		if err := findRef(v, s.refs, maxDepth); err != nil {
			return err
		}
	}
	return nil
}

// CarriesItem is [Parser.Carries] for a value of one of the signature's streams.
func (s *Signature) CarriesItem(v reflect.Value) error {
	return s.carry(s.openParams || s.openResults, []reflect.Value{v})
}

func findRef(v reflect.Value, refs func(reflect.Type) string, depth int) error {
	if !v.IsValid() || depth == 0 {
		return nil
	}
	t := v.Type()
	switch t.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface:
	case reflect.Func:
		return fmt.Errorf("%v is a function, and only an argument by itself can be one", t)
	default:
		return nil
	}
	if t.Kind() != reflect.Interface {
		if refs(t) != "" {
			return nestedRef(t)
		}
		if t == timeType || t == RefType || hasOwnForm(t) || flat(t) {
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		return findRef(v.Elem(), refs, depth-1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := findRef(v.Index(i), refs, depth-1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			if err := findRef(entry.Value(), refs, depth-1); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if _, skip := FieldName(t.Field(i)); skip {
				continue
			}
			if err := findRef(v.Field(i), refs, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// flat tells that a list is of values in which nothing can be.
func flat(t reflect.Type) bool {
	if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
		return false
	}
	switch t.Elem().Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface, reflect.Func:
		return false
	}
	return true
}
