package engine

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// messageReader is a Reader whose format has a form of its own for protobuf
// messages. Message reads over the value that it decodes.
type messageReader interface {
	Message(m proto.Message) error
}

// Message decodes the next value into m, whose former contents are lost. It is
// the inverse of [Encoder.Message].
func (d *Decoder) Message(m proto.Message) error {
	proto.Reset(m)
	if r, ok := d.R.(messageReader); ok {
		return r.Message(m)
	}
	if err := d.message(m.ProtoReflect()); err != nil {
		return err
	}
	if err := proto.CheckInitialized(m); err != nil {
		return &value.Error{Want: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	return nil
}

func (d *Decoder) message(m protoreflect.Message) error {
	if known, ok := wellKnown(m.Descriptor().FullName()); ok {
		return known.dec(d, m)
	}
	return d.messageFields(m, "")
}

// nextNamed reads a token and requires one of kind, wanted for what is named.
func (d *Decoder) nextNamed(kind Kind, want string) error {
	if err := d.R.Next(&d.tok); err != nil {
		return err
	}
	if d.tok.Kind != kind {
		return mismatch(want, &d.tok)
	}
	return nil
}

// enterMessage begins the map that stands for a message.
func (d *Decoder) enterMessage(md protoreflect.MessageDescriptor) (*Frame, error) {
	if err := d.nextNamed(Map, string(md.FullName())); err != nil {
		return nil, err
	}
	return d.enter()
}

// messageFields decodes a map into the fields of m, passing over the key except.
func (d *Decoder) messageFields(m protoreflect.Message, except string) error {
	t, err := d.enterMessage(m.Descriptor())
	if err != nil {
		return err
	}
	defer d.close()
	var seen []protoreflect.FieldNumber
	for {
		more, err := d.R.More(t)
		if err != nil || !more {
			return err
		}
		if err := d.R.Key(t, &d.tok); err != nil {
			return err
		}
		if except != "" && d.tok.Kind == String && string(d.tok.Data) == except {
			if err := d.R.Value(t); err != nil {
				return err
			}
			if err := d.R.Skip(); err != nil {
				return err
			}
			continue
		}
		fd, err := findField(m.Descriptor(), &d.tok)
		if err != nil {
			return err
		}
		if err := d.R.Value(t); err != nil {
			return err
		}
		if slices.Contains(seen, fd.Number()) {
			return Within(Key(fieldName(fd)), cannot("a field that came before"))
		}
		seen = append(seen, fd.Number())
		if err := d.messageEntry(fd, m); err != nil {
			return Within(Key(fieldName(fd)), err)
		}
	}
}

// findField finds the field that k names, in the form of ProtoJSON or in that of
// the .proto file.
func findField(md protoreflect.MessageDescriptor, k *Token) (protoreflect.FieldDescriptor, error) {
	if k.Kind != String {
		return nil, mismatch("the name of a field of "+string(md.FullName()), k)
	}
	name := string(k.Data)
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd, nil
	}
	if fd := md.Fields().ByTextName(name); fd != nil {
		return fd, nil
	}
	if ext, ok := strings.CutPrefix(name, "["); ok && strings.HasSuffix(ext, "]") {
		xt, err := protoregistry.GlobalTypes.FindExtensionByName(protoreflect.FullName(strings.TrimSuffix(ext, "]")))
		if err == nil && xt.TypeDescriptor().ContainingMessage().FullName() == md.FullName() {
			return xt.TypeDescriptor(), nil
		}
	}
	return nil, Within(Key(name), cannot("no such field in %s", md.FullName()))
}

// messageEntry decodes one entry of a map into field fd of m. Null leaves the
// field unset, unless null is what the field holds.
func (d *Decoder) messageEntry(fd protoreflect.FieldDescriptor, m protoreflect.Message) error {
	if !holdsNull(fd) && d.R.Null() {
		return nil
	}
	if oneof := fd.ContainingOneof(); oneof != nil {
		if other := m.WhichOneof(oneof); other != nil {
			return cannot("a second field of oneof %s, which has %s already", oneof.Name(), fieldName(other))
		}
	}
	return d.messageField(fd, m)
}

func holdsNull(fd protoreflect.FieldDescriptor) bool {
	if fd.IsList() || fd.IsMap() {
		return false
	}
	if md := fd.Message(); md != nil {
		return md.FullName() == "google.protobuf.Value"
	}
	return fd.Enum() != nil && fd.Enum().FullName() == "google.protobuf.NullValue"
}

func (d *Decoder) messageField(fd protoreflect.FieldDescriptor, m protoreflect.Message) error {
	switch {
	case fd.IsMap():
		return d.messageMap(fd, m.Mutable(fd).Map())
	case fd.IsList():
		return d.messageList(fd, m.Mutable(fd).List())
	case fd.Message() != nil:
		sub := m.NewField(fd)
		if err := d.subMessage(sub.Message()); err != nil {
			return err
		}
		m.Set(fd, sub)
		return nil
	default:
		v, err := d.messageScalar(fd)
		if err == nil {
			m.Set(fd, v)
		}
		return err
	}
}

// subMessage decodes into a message that has just been allocated.
func (d *Decoder) subMessage(m protoreflect.Message) error {
	if err := d.Charge(int(reflect.TypeOf(m.Interface()).Elem().Size())); err != nil {
		return err
	}
	return d.message(m)
}

// listCost is about what an element adds to a list that grows by doubling, and
// mapCost what an entry adds to a map, both without what they point to.
const (
	listCost = 3 * 16
	mapCost  = 80
)

func (d *Decoder) messageList(fd protoreflect.FieldDescriptor, list protoreflect.List) error {
	if err := d.nextNamed(List, "list"); err != nil {
		return err
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	defer d.close()
	for i := 0; ; i++ {
		more, err := d.R.More(t)
		if err != nil || !more {
			return err
		}
		if err := d.Charge(listCost); err != nil {
			return err
		}
		v, err := d.messageElement(fd, list.NewElement)
		if err != nil {
			return Within(Index(i), err)
		}
		list.Append(v)
	}
}

// messageElement decodes an element of a list or map, made by newElement if it
// is a message.
func (d *Decoder) messageElement(fd protoreflect.FieldDescriptor, newElement func() protoreflect.Value) (protoreflect.Value, error) {
	if fd.Message() == nil {
		return d.messageScalar(fd)
	}
	v := newElement()
	return v, d.subMessage(v.Message())
}

func (d *Decoder) messageMap(fd protoreflect.FieldDescriptor, m protoreflect.Map) error {
	if err := d.nextNamed(Map, "map"); err != nil {
		return err
	}
	t, err := d.enter()
	if err != nil {
		return err
	}
	defer d.close()
	for {
		more, err := d.R.More(t)
		if err != nil || !more {
			return err
		}
		if err := d.Charge(mapCost); err != nil {
			return err
		}
		if err := d.R.Key(t, &d.tok); err != nil {
			return err
		}
		v, err := d.scalarFrom(fd.MapKey(), &d.tok)
		if err != nil {
			return Within("[key]", err)
		}
		step := v.MapKey()
		if m.Has(step) {
			return Within(Index(step.Interface()), cannot("a key that the map already has"))
		}
		if err := d.R.Value(t); err != nil {
			return err
		}
		elem, err := d.messageElement(fd.MapValue(), m.NewValue)
		if err != nil {
			return Within(Index(step.Interface()), err)
		}
		m.Set(step, elem)
	}
}

func (d *Decoder) messageScalar(fd protoreflect.FieldDescriptor) (protoreflect.Value, error) {
	if err := d.R.Next(&d.tok); err != nil {
		return protoreflect.Value{}, err
	}
	return d.scalarFrom(fd, &d.tok)
}

// scalarFrom makes a value for a field of a scalar kind, if t fits it.
func (d *Decoder) scalarFrom(fd protoreflect.FieldDescriptor, t *Token) (v protoreflect.Value, err error) {
	ok := false
	switch fd.Kind() {
	case protoreflect.BoolKind:
		v, ok = protoreflect.ValueOfBool(t.Num != 0), t.Kind == Bool
	case protoreflect.EnumKind:
		v, ok = enumFrom(fd.Enum(), t)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		var i int64
		i, ok = t.exactInt()
		v, ok = protoreflect.ValueOfInt32(int32(i)), ok && i >= math.MinInt32 && i <= math.MaxInt32
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		var i int64
		i, ok = t.exactInt()
		v = protoreflect.ValueOfInt64(i)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		var u uint64
		u, ok = t.exactUint()
		v, ok = protoreflect.ValueOfUint32(uint32(u)), ok && u <= math.MaxUint32
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		var u uint64
		u, ok = t.exactUint()
		v = protoreflect.ValueOfUint64(u)
	case protoreflect.FloatKind:
		var f float64
		f, ok = t.exactFloat()
		v, ok = protoreflect.ValueOfFloat32(float32(f)), ok && (float64(float32(f)) == f || f != f)
	case protoreflect.DoubleKind:
		var f float64
		f, ok = t.exactFloat()
		v = protoreflect.ValueOfFloat64(f)
	case protoreflect.StringKind:
		if ok = t.Kind == String; ok {
			var s string
			s, err = d.text(t)
			v = protoreflect.ValueOfString(s)
		}
	case protoreflect.BytesKind:
		if ok = t.Kind == Bytes; ok {
			var b []byte
			b, err = d.bytes(t)
			v = protoreflect.ValueOfBytes(b)
		}
	}
	if !ok {
		return v, mismatch(kindName(fd), t)
	}
	return v, err
}

func kindName(fd protoreflect.FieldDescriptor) string {
	if ed := fd.Enum(); ed != nil {
		return "enum " + string(ed.FullName())
	}
	return fd.Kind().String()
}

// enumFrom accepts a name, or a number that the enum may have.
func enumFrom(ed protoreflect.EnumDescriptor, t *Token) (protoreflect.Value, bool) {
	switch t.Kind {
	case Null:
		return protoreflect.ValueOfEnum(0), ed.FullName() == "google.protobuf.NullValue"
	case String:
		v := ed.Values().ByName(protoreflect.Name(t.Data))
		if v == nil {
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfEnum(v.Number()), true
	case Int:
		n := protoreflect.EnumNumber(t.Num)
		fits := int64(n) == t.Int64() && (!ed.IsClosed() || ed.Values().ByNumber(n) != nil)
		return protoreflect.ValueOfEnum(n), fits
	default:
		return protoreflect.Value{}, false
	}
}
