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

// Check reports why values of type t can't be carried by any codec, or nil. A codec may
// still refuse one that passes: JSON has no NaN.
func (p Parser) Check(t reflect.Type) error { return checkType(t, p.Ref) }

func checkType(t reflect.Type, refs func(reflect.Type) string) error {
	c := typeCheck{refs: refs, seen: make(map[reflect.Type]bool)}
	return c.check(t)
}

// typeCheck looks at a type and all that it consists of.
type typeCheck struct {
	refs func(reflect.Type) string // or nil
	seen map[reflect.Type]bool
	open bool // there are interfaces, whose values can be anything
}

func (c *typeCheck) check(t reflect.Type) error {
	if t == timeType || c.seen[t] {
		return nil
	}
	c.seen[t] = true
	if c.refs != nil {
		if ref := c.refs(t); ref != "" {
			return nestedRef(t)
		}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%v has no form on the wire", t)
	case reflect.Interface:
		c.open = true
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
		return c.check(t.Elem())
	case reflect.Slice, reflect.Array:
		return c.check(t.Elem())
	case reflect.Map:
		return c.mapType(t)
	case reflect.Struct:
		return c.fields(t)
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

func (c *typeCheck) mapType(t reflect.Type) error {
	switch k := t.Key(); k.Kind() {
	case reflect.Chan, reflect.Func, reflect.Pointer, reflect.Array, reflect.UnsafePointer:
		if !hasOwnForm(k) {
			return fmt.Errorf("%v: keys of type %v have no form on the wire", t, k)
		}
	}
	if err := c.check(t.Key()); err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	return c.check(t.Elem())
}

func (c *typeCheck) fields(t reflect.Type) error {
	carried := 0
	for i := range t.NumField() {
		f := t.Field(i)
		if _, skip := FieldName(f); skip && !f.Anonymous {
			continue
		}
		carried++
		if err := c.check(f.Type); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
	}
	if carried == 0 && t.NumField() > 0 {
		return fmt.Errorf("%v has no exported fields", t)
	}
	return nil
}
