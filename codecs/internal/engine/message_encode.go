package engine

import (
	"bytes"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// messageWriter is a Writer with a form of its own for protobuf messages.
type messageWriter interface {
	Message(m proto.Message) error
}

// fillProto is the rule for protobuf messages. Their Go types are pointers to
// structs; t is the struct.
func fillProto(p *plan) {
	p.enc = func(e *Encoder, v reflect.Value) error {
		if !v.CanAddr() {
			return cannot("Go type %v: a protobuf message must not be copied; use a pointer", v.Type())
		}
		return e.Message(v.Addr().Interface().(proto.Message))
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		return d.Message(v.Addr().Interface().(proto.Message))
	}
}

// Message encodes a protobuf message: ProtoJSON where the format is JSON, else a
// map with the names of ProtoJSON, in which integers, bytes and instants are
// such.
func (e *Encoder) Message(m proto.Message) error {
	if m == nil || !m.ProtoReflect().IsValid() {
		e.W.Null()
		return nil
	}
	if err := refuseUnknown(m.ProtoReflect()); err != nil {
		return err
	}
	if w, ok := e.W.(messageWriter); ok {
		return w.Message(m)
	}
	if err := proto.CheckInitialized(m); err != nil {
		return &value.Error{Got: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	return e.message(m.ProtoReflect())
}

// refuseUnknown looks for fields that m has and its descriptor has not. Only
// protobuf's own format can carry them on.
func refuseUnknown(m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return cannot("message %s with fields that its descriptor does not have", m.Descriptor().FullName())
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
					if err = refuseUnknown(v.Message()); err != nil {
						err = Within(Index(k.Interface()), err)
					}
					return err == nil
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				if err = refuseUnknown(v.List().Get(i).Message()); err != nil {
					err = Within(Index(i), err)
				}
			}
		default:
			err = refuseUnknown(v.Message())
		}
		if err != nil {
			err = Within(Key(fieldName(fd)), err)
		}
		return err == nil
	})
	return err
}

func (e *Encoder) message(m protoreflect.Message) error {
	if known, ok := wellKnown(m.Descriptor().FullName()); ok {
		return known.enc(e, m)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	n := 0
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { n++; return true })
	e.W.MapBegin(n, true)
	if err := e.messageFields(m, 0); err != nil {
		return err
	}
	e.W.MapEnd()
	return nil
}

// messageFields encodes the fields of m as map entries number i and following.
func (e *Encoder) messageFields(m protoreflect.Message, i int) error {
	one := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
		name := fieldName(fd)
		if err := e.W.TextKey(i, name); err != nil {
			return err
		}
		i++
		if err := e.messageField(fd, v); err != nil {
			return Within(Key(name), err)
		}
		return nil
	}
	fields := m.Descriptor().Fields()
	for n := range fields.Len() {
		if fd := fields.Get(n); m.Has(fd) {
			if err := one(fd, m.Get(fd)); err != nil {
				return err
			}
		}
	}
	if m.Descriptor().ExtensionRanges().Len() == 0 {
		return nil
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsExtension() {
			err = one(fd, v)
		}
		return err == nil
	})
	return err
}

// fieldName returns the name of a field in ProtoJSON.
func fieldName(fd protoreflect.FieldDescriptor) string {
	if fd.IsExtension() {
		return "[" + string(fd.FullName()) + "]"
	}
	return fd.JSONName()
}

func (e *Encoder) messageField(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch {
	case fd.IsMap():
		return e.messageMap(fd, v.Map())
	case fd.IsList():
		return e.messageList(fd, v.List())
	default:
		return e.messageValue(fd, v)
	}
}

func (e *Encoder) messageList(fd protoreflect.FieldDescriptor, list protoreflect.List) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	e.W.ListBegin(list.Len())
	for i := range list.Len() {
		e.W.ListItem(i)
		if err := e.messageValue(fd, list.Get(i)); err != nil {
			return Within(Index(i), err)
		}
	}
	e.W.ListEnd()
	return nil
}

func (e *Encoder) messageMap(fd protoreflect.FieldDescriptor, m protoreflect.Map) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	text := fd.MapKey().Kind() == protoreflect.StringKind
	e.W.MapBegin(m.Len(), text)
	i := 0
	var err error
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if text {
			err = e.textKey(i, k.String())
		} else {
			e.W.MapKey(i)
			err = e.messageValue(fd.MapKey(), k.Value())
			e.W.MapValue()
		}
		if err == nil {
			if err = e.messageValue(fd.MapValue(), v); err != nil {
				err = Within(Index(k.Interface()), err)
			}
		}
		i++
		return err == nil
	})
	if err == nil {
		e.W.MapEnd()
	}
	return err
}

func (e *Encoder) messageValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		e.W.Bool(v.Bool())
	case protoreflect.EnumKind:
		e.enum(fd.Enum(), v.Enum())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		e.W.Int(v.Int())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		e.W.Uint(v.Uint())
	case protoreflect.FloatKind:
		return e.W.Float32(float32(v.Float()))
	case protoreflect.DoubleKind:
		return e.W.Float64(v.Float())
	case protoreflect.StringKind:
		return e.string(v.String())
	case protoreflect.BytesKind:
		e.W.Bytes(v.Bytes())
	default:
		return e.message(v.Message())
	}
	return nil
}

// enum encodes an enum by name, or by number if that has none.
func (e *Encoder) enum(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) {
	if ed.FullName() == "google.protobuf.NullValue" {
		e.W.Null()
		return
	}
	if v := ed.Values().ByNumber(n); v != nil {
		_ = e.W.String(string(v.Name())) // identifiers are text everywhere
		return
	}
	e.W.Int(int64(n))
}

// resolveAny returns the message inside of a google.protobuf.Any.
func resolveAny(m protoreflect.Message) (url string, inner protoreflect.Message, err error) {
	fields := m.Descriptor().Fields()
	url = m.Get(fields.ByName("type_url")).String()
	typ, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return url, nil, cannot("google.protobuf.Any of type %.128q, which this program does not know", url)
	}
	inner = typ.New()
	if err := proto.Unmarshal(m.Get(fields.ByName("value")).Bytes(), inner.Interface()); err != nil {
		return url, nil, &value.Error{Got: "google.protobuf.Any of type " + url, Err: err}
	}
	return url, inner, refuseUnknown(inner)
}

// protoJSONText returns the ProtoJSON form of a message that is a string there,
// and in which no character needs escaping.
func protoJSONText(m protoreflect.Message) (string, error) {
	quoted, err := protojson.Marshal(m.Interface())
	if err != nil {
		return "", &value.Error{Got: string(m.Descriptor().FullName()), Err: err}
	}
	return string(bytes.Trim(quoted, `"`)), nil
}
