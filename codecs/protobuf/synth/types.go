package synth

import (
	"encoding"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// single is how one value of a Go type is a value of a field: an element of a
// repeated field, or the only one. It is what a descriptor says, and the way from
// and to the wire.
type single struct {
	kind    descriptorpb.FieldDescriptorProto_Type
	message string // the full name, if it is a message
	wire    protowire.Type
	packed  bool // repeated ones are written in one record

	// zero reports whether v is what a field that is not there stands for.
	zero func(v reflect.Value) bool

	// enc appends v without the tag, with its size where it has one.
	enc func(depth int, b []byte, v reflect.Value) ([]byte, error)

	// dec sets v to the value of r, whose type is wire. A message is merged into
	// what v is already.
	dec func(d *decoder, r record, v reflect.Value) error
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	dateType     = reflect.TypeFor[value.Date]()
	dateTimeType = reflect.TypeFor[value.DateTime]()
	refType      = reflect.TypeFor[value.Ref]()
	namedType    = reflect.TypeFor[value.Named]()
	bytesKeyType = reflect.TypeFor[value.Bytes]()
	anyType      = reflect.TypeFor[any]()
	protoType    = reflect.TypeFor[proto.Message]()
)

// implements reports whether t or a pointer to it has the methods of I.
func implements[I any](t reflect.Type) bool {
	iface := reflect.TypeFor[I]()
	return t.Kind() != reflect.Pointer && (t.Implements(iface) || reflect.PointerTo(t).Implements(iface))
}

// single finds the form of a type that is neither a list nor a map nor a pointer
// to a scalar. The order is that of package codecs/value.
func (b *builder) single(t reflect.Type) (*single, error) {
	if s, ok := b.singles[t]; ok {
		return s, nil
	}
	switch t {
	case timeType:
		return b.use(timestampForm), nil
	case dateType:
		return b.use(dateForm), nil
	case dateTimeType:
		return b.use(dateTimeForm), nil
	case refType:
		return b.use(refForm), nil
	case namedType:
		return b.use(namedForm), nil
	case anyType:
		return b.use(valueForm(t)), nil
	}
	switch {
	case ownMessage(t) != nil:
		return b.messageForm(t), nil
	case t.Implements(protoType) || reflect.PointerTo(t).Implements(protoType):
		return nil, fmt.Errorf("%v: want a pointer to a generated message", t)
	case implements[value.Encoder](t) || implements[value.Decoder](t):
		return b.use(valueForm(t)), nil
	case implements[encoding.TextMarshaler](t) && implements[encoding.TextUnmarshaler](t):
		return textForm, nil
	case t.Kind() == reflect.Pointer && isMessage(t.Elem()):
		return b.pointerForm(t)
	case t.Kind() == reflect.Struct:
		return b.structForm(t)
	case isBytes(t) || t == bytesKeyType:
		return bytesForm(t), nil
	}
	if s := scalarForm(t); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%v: protobuf has no form for it%s", t, hint(t))
}

// hint says more about types that are refused often.
func hint(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return "; lists and maps can't be inside of each other without a struct in between"
	case reflect.Interface:
		return "; of interfaces, only any has one"
	case reflect.Pointer:
		return "; a pointer may lead to a scalar or a struct, and not be in a list or map unless it leads to a struct"
	default:
		return ""
	}
}

// isBytes reports whether t is binary data.
func isBytes(t reflect.Type) bool {
	if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
		return false
	}
	elem := t.Elem()
	return elem.Kind() == reflect.Uint8 && elem.NumMethod() == 0 && reflect.PointerTo(elem).NumMethod() == 0
}

// isMessage reports whether values of struct type t are messages, so that a
// pointer to one needs no field of its own kind.
func isMessage(t reflect.Type) bool {
	return t.Kind() == reflect.Struct &&
		!implements[value.Encoder](t) && !implements[value.Decoder](t) &&
		!(implements[encoding.TextMarshaler](t) && implements[encoding.TextUnmarshaler](t)) ||
		t == timeType
}
