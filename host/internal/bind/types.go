package bind

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// ownForm are the interfaces by which a type says that it knows its own form on
// the wire; what it is made of is then of no concern.
var ownForm = []reflect.Type{
	reflect.TypeFor[value.Encoder](),
	reflect.TypeFor[value.Decoder](),
	reflect.TypeFor[encoding.TextMarshaler](),
	reflect.TypeFor[encoding.TextUnmarshaler](),
	reflect.TypeFor[proto.Message](),
}

var timeType = reflect.TypeFor[time.Time]()

func hasOwnForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, i := range ownForm {
		if t.Implements(i) || p.Implements(i) {
			return true
		}
	}
	return false
}

// CheckType reports why values of type t can't be carried by any codec, or nil.
// A codec may still refuse one that passes: JSON has no NaN.
func CheckType(t reflect.Type) error {
	return checkType(t, make(map[reflect.Type]bool))
}

func checkType(t reflect.Type, seen map[reflect.Type]bool) error {
	if t == timeType || seen[t] {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%v has no form on the wire", t)
	case reflect.Interface:
		return checkInterface(t)
	}
	if hasOwnForm(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("%v is a pointer to a pointer", t)
		}
		return checkType(t.Elem(), seen)
	case reflect.Slice, reflect.Array:
		return checkType(t.Elem(), seen)
	case reflect.Map:
		return checkMap(t, seen)
	case reflect.Struct:
		return checkFields(t, seen)
	}
	return nil
}

func checkInterface(t reflect.Type) error {
	switch {
	case t.NumMethod() == 0:
		return nil
	case t == contextType:
		return errors.New("context.Context is taken only as the first parameter")
	case t == errorType:
		return errors.New("error is returned only as the last result")
	}
	return fmt.Errorf("%v is an interface with methods; a receiver couldn't know which type to make", t)
}

func checkMap(t reflect.Type, seen map[reflect.Type]bool) error {
	switch k := t.Key(); k.Kind() {
	case reflect.Chan, reflect.Func, reflect.Pointer, reflect.Array, reflect.UnsafePointer:
		if !hasOwnForm(k) {
			return fmt.Errorf("%v: keys of type %v have no form on the wire", t, k)
		}
	}
	if err := checkType(t.Key(), seen); err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	return checkType(t.Elem(), seen)
}

func checkFields(t reflect.Type, seen map[reflect.Type]bool) error {
	carried := 0
	for i := range t.NumField() {
		f := t.Field(i)
		if _, skip := FieldName(f); skip && !f.Anonymous {
			continue
		}
		carried++
		if err := checkType(f.Type, seen); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
	}
	if carried == 0 && t.NumField() > 0 {
		return fmt.Errorf("%v has no exported fields", t)
	}
	return nil
}
