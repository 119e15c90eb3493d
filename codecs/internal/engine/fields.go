package engine

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Field is a struct field that is encoded, possibly one of an embedded struct.
type Field struct {
	Name   string
	Type   reflect.Type
	index  []int // as for reflect.Value.FieldByIndex
	plan   *plan
	omit   func(reflect.Value) bool // nil: always encoded
	tagged bool
}

// Fields lists the fields of struct type t that are encoded, as [builder.fieldsOf]
// does.
func Fields(t reflect.Type) ([]Field, error) { return builder{}.fieldsOf(t) }

// fieldsOf lists the encoded fields of struct type t, in the order of their
// declaration, embedded ones in the place of the struct that they come with.
func (b builder) fieldsOf(t reflect.Type) ([]Field, error) {
	all, err := b.collect(t, nil, map[reflect.Type]bool{})
	if err != nil {
		return nil, err
	}
	var fields []Field
	for _, f := range all {
		best, err := dominant(all, f.Name)
		if err != nil {
			return nil, err
		}
		if slices.Equal(best.index, f.index) {
			fields = append(fields, f)
		}
	}
	return fields, nil
}

// collect walks t and the structs embedded in it.
func (b builder) collect(t reflect.Type, at []int, inside map[reflect.Type]bool) ([]Field, error) {
	if inside[t] {
		return nil, nil // embeds itself: everything in there is hidden
	}
	inside[t] = true
	defer delete(inside, t)
	var fields []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, err := parseTag(sf)
		if err != nil {
			return nil, err
		}
		if tag.skip {
			continue
		}
		path := append(slices.Clone(at), i)
		if embedded := embeddedStruct(sf); embedded != nil && tag.name == "" {
			if sf.Type.Kind() == reflect.Pointer && !sf.IsExported() {
				return nil, fmt.Errorf("field %s: an embedded pointer to an unexported struct can't be set", sf.Name)
			}
			inner, err := b.collect(embedded, path, inside)
			if err != nil {
				return nil, err
			}
			fields = append(fields, inner...)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		fields = append(fields, Field{
			Name:   cmp.Or(tag.name, sf.Name),
			Type:   sf.Type,
			index:  path,
			plan:   b.plan(sf.Type),
			omit:   tag.omit(sf.Type),
			tagged: tag.name != "",
		})
	}
	return fields, nil
}

// embeddedStruct returns the struct type that sf embeds as a struct, which it
// doesn't if the type has a rule of its own.
func embeddedStruct(sf reflect.StructField) reflect.Type {
	if !sf.Anonymous {
		return nil
	}
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || isSpecial(t) {
		return nil
	}
	return t
}

// isSpecial reports whether a struct type is not encoded field by field.
func isSpecial(t reflect.Type) bool {
	switch t {
	case timeType, dateType, dateTimeType, refType, namedType:
		return true
	}
	for _, iface := range []reflect.Type{protoType, encoderType, decoderType, textMarshalerType, textUnmarshalerType} {
		if implements(t, iface) {
			return true
		}
	}
	return false
}

// dominant returns the field that a name stands for: the least deeply embedded
// one, and of several the one that has its name from a tag. If that leaves more
// than one, encoding/json drops them all, which would be a silent loss here.
func dominant(fields []Field, name string) (Field, error) {
	var best []Field
	for _, f := range fields {
		if f.Name != name {
			continue
		}
		order := 1
		if len(best) > 0 {
			order = cmp.Or(cmp.Compare(len(best[0].index), len(f.index)), boolCompare(f.tagged, best[0].tagged))
		}
		switch {
		case order > 0:
			best = []Field{f}
		case order == 0:
			best = append(best, f)
		}
	}
	if len(best) > 1 {
		return Field{}, fmt.Errorf("%d fields are named %q", len(best), name)
	}
	return best[0], nil
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// fieldTag is what the tags of a field say.
type fieldTag struct {
	name                string
	skip                bool
	omitEmpty, omitZero bool
}

// parseTag reads the msgpack tag and, where that is silent, the json tag.
func parseTag(sf reflect.StructField) (fieldTag, error) {
	var tag fieldTag
	for _, key := range []string{"msgpack", "json"} {
		text, ok := sf.Tag.Lookup(key)
		if !ok {
			continue
		}
		if text == "-" {
			tag.skip = tag.name == ""
			return tag, nil
		}
		name, options, _ := strings.Cut(text, ",")
		tag.name = cmp.Or(tag.name, name)
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				tag.omitEmpty = true
			case "omitzero":
				tag.omitZero = true
			case "as_array", "inline", "noinline":
				// These change the form of the data that a peer expects.
				return tag, fmt.Errorf("field %s: tag option %q is not supported", sf.Name, option)
			}
		}
	}
	return tag, nil
}

// omit returns the test for values that are left out, or nil.
func (tag fieldTag) omit(t reflect.Type) func(reflect.Value) bool {
	zero := reflect.Value.IsZero
	if z, ok := reflect.Zero(t).Interface().(interface{ IsZero() bool }); ok && z != nil && t.Kind() != reflect.Pointer {
		zero = func(v reflect.Value) bool { return v.Interface().(interface{ IsZero() bool }).IsZero() }
	}
	switch {
	case tag.omitZero && tag.omitEmpty:
		return func(v reflect.Value) bool { return isEmpty(v) || zero(v) }
	case tag.omitZero:
		return zero
	case tag.omitEmpty:
		return isEmpty
	default:
		return nil
	}
}

// isEmpty is what encoding/json calls empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
