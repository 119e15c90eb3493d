package engine

import (
	"encoding"
	"reflect"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// plan is what to do with values of one Go type.
type plan struct {
	typ reflect.Type

	enc func(*Encoder, reflect.Value) error
	dec func(*Decoder, reflect.Value) error // the value is settable

	// null reports whether null fits the type.
	null bool

	// key decodes a map key, if the type can be one. Its token has been read
	// already, because in some formats keys are read in a way of their own.
	key func(*Decoder, *Token, reflect.Value) error

	// text gives the key's text if every key of the type is text, so that a map
	// with such keys is a map with text keys in every format.
	text func(reflect.Value) (string, error)
}

// plans holds a *plan for every reflect.Type seen so far. It grows with the
// types of a program, of which there are only so many.
var plans sync.Map

// planOf returns the plan for t.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	b := builder{}
	p := b.plan(t)
	for typ, built := range b {
		plans.LoadOrStore(typ, built)
	}
	return p
}

// builder makes the plans of types that refer to each other. While one is being
// made, the others refer to it by a pointer that is filled in later; nothing
// outside sees it before it is complete.
type builder map[reflect.Type]*plan

func (b builder) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := b[t]; ok {
		return p
	}
	p := &plan{typ: t}
	b[t] = p
	b.fill(p)
	return p
}

var (
	encoderType         = reflect.TypeFor[value.Encoder]()
	decoderType         = reflect.TypeFor[value.Decoder]()
	protoType           = reflect.TypeFor[proto.Message]()
	textMarshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType            = reflect.TypeFor[time.Time]()
	dateType            = reflect.TypeFor[value.Date]()
	dateTimeType        = reflect.TypeFor[value.DateTime]()
	refType             = reflect.TypeFor[value.Ref]()
	namedType           = reflect.TypeFor[value.Named]()
	bytesKeyType        = reflect.TypeFor[value.Bytes]()
	anyType             = reflect.TypeFor[any]()
	stringType          = reflect.TypeFor[string]()
)

// fill chooses the rule for a type. The order is that of precedence.
func (b builder) fill(p *plan) {
	t := p.typ
	switch t {
	case timeType:
		p.enc, p.dec, p.key = encTime, decTime, keyTime
		return
	case dateType:
		p.enc, p.dec, p.key = encDate, decDate, keyDate
		return
	case dateTimeType:
		p.enc, p.dec, p.key = encDateTime, decDateTime, keyDateTime
		return
	case refType:
		p.enc, p.dec = encRef, decRef
		return
	case namedType:
		p.enc, p.dec = encNamed, decNamed
		return
	case bytesKeyType:
		p.enc, p.dec, p.key = encBytesKey, decBytesKey, keyBytesKey
		return
	}
	if t.Kind() == reflect.Interface {
		b.fillInterface(p)
		return
	}
	if implements(t, protoType) {
		fillProto(p)
		return
	}
	b.fillKind(p)
	b.fillText(p)
	b.fillHooks(p)
}

// implements reports whether t, or a pointer to it, has the methods of iface. A
// pointer type inherits nothing here: pointers are followed to their element.
func implements(t, iface reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return false
	}
	return reflect.PointerTo(t).Implements(iface) || t.Implements(iface)
}

// fillKind makes the rule that follows from the kind of type alone.
func (b builder) fillKind(p *plan) {
	t := p.typ
	switch t.Kind() {
	case reflect.Bool:
		p.enc, p.dec, p.key = encBool, decBool, keyBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.enc, p.dec, p.key = encInt, decInt, keyInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.enc, p.dec, p.key = encUint, decUint, keyUint
	case reflect.Float32:
		p.enc, p.dec, p.key = encFloat32, decFloat, keyFloat
	case reflect.Float64:
		p.enc, p.dec, p.key = encFloat64, decFloat, keyFloat
	case reflect.String:
		p.enc, p.dec, p.key = encString, decString, keyString
		p.text = func(v reflect.Value) (string, error) { return v.String(), nil }
	case reflect.Pointer:
		b.fillPointer(p)
	case reflect.Slice:
		b.fillSlice(p)
	case reflect.Array:
		b.fillArray(p)
	case reflect.Map:
		b.fillMap(p)
	case reflect.Struct:
		b.fillStruct(p)
	default:
		fillRefused(p, "a "+t.Kind().String()+" has no encoded form")
	}
}

// fillRefused is the rule for types that can't be encoded.
func fillRefused(p *plan, reason string) {
	refuse := func() error { return cannot("Go type %v: %s", p.typ, reason) }
	p.enc = func(*Encoder, reflect.Value) error { return refuse() }
	p.dec = func(*Decoder, reflect.Value) error { return refuse() }
}

// fillText replaces the rule for types that are text by their own methods.
// A type that has only one of the two methods keeps its other half.
func (b builder) fillText(p *plan) {
	if implements(p.typ, textMarshalerType) {
		p.enc, p.text = encText, marshalText
	}
	if implements(p.typ, textUnmarshalerType) {
		p.dec, p.key = decText, keyText
		p.null = false
	}
}

// fillHooks replaces the rule for types with hooks of their own.
func (b builder) fillHooks(p *plan) {
	if implements(p.typ, encoderType) {
		p.enc, p.text, p.key = encHook, nil, nil
	}
	if implements(p.typ, decoderType) {
		p.dec, p.key = decHook, nil
		p.null = true // it is for the hook to say
	}
}
