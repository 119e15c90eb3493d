package synth

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// message is the message that a struct type becomes, or the request or response of
// a method.
type message struct {
	name   string // within the package
	fields []*field
}

// byNumber returns the field with a number, or nil.
func (m *message) byNumber(num protowire.Number) *field {
	if num < 1 || int(num) > len(m.fields) {
		return nil
	}
	return m.fields[num-1]
}

// structForm is the form of a struct: a message with a field for each of its own.
func (b *builder) structForm(t reflect.Type) (*single, error) {
	fields, err := engine.Fields(t)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", t, err)
	}
	if len(fields) == 0 && t.NumField() > 0 {
		return nil, fmt.Errorf("%v: it has no exported fields, and no methods of package value to say how it is encoded", t)
	}
	m := &message{name: b.messageName(t)}
	sm := &structMessage{typ: t, message: m, access: fields}
	s := &single{
		kind: kindMessage, message: b.pkg + "." + m.name, wire: protowire.BytesType, zero: neverZero,
		enc: sm.enc, dec: sm.dec,
	}
	b.singles[t] = s // before its fields: it may have itself inside
	b.messages = append(b.messages, m)
	for i, f := range fields {
		field, err := b.field(protowire.Number(i+1), f.Name, f.Type, false)
		if err != nil {
			return nil, fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
		m.fields = append(m.fields, field)
	}
	return s, nil
}

// structMessage is the way between a struct and its message.
type structMessage struct {
	typ    reflect.Type
	access []engine.Field // in the order of message.fields
	*message
}

func (m *structMessage) enc(depth int, b []byte, v reflect.Value) ([]byte, error) {
	if err := checkDepth(depth); err != nil {
		return nil, err
	}
	return appendSized(b, func(b []byte) ([]byte, error) { return m.appendFields(depth+1, b, v) })
}

func (m *structMessage) appendFields(depth int, b []byte, v reflect.Value) ([]byte, error) {
	for i, f := range m.fields {
		x, ok := m.access[i].Get(v)
		if !ok {
			continue
		}
		var err error
		if b, err = f.append(depth, b, x); err != nil {
			return nil, engine.Within(engine.Key(f.name), err)
		}
	}
	return b, nil
}

func (m *structMessage) dec(d *decoder, r record, v reflect.Value) error {
	if err := checkDepth(d.depth); err != nil {
		return err
	}
	d.depth++
	for data := r.data; len(data) > 0; {
		r, err := next(data)
		if err != nil {
			return &value.Error{Want: m.typ.String(), Err: err}
		}
		data = data[r.size:]
		f := m.byNumber(r.num)
		if f == nil {
			return &value.Error{Want: m.typ.String(), Got: fmt.Sprintf("a message with an unknown field %d", r.num)}
		}
		x, err := m.access[r.num-1].Set(&d.Budget, v)
		if err != nil {
			return err
		}
		if err := f.merge(d, r, x); err != nil {
			return engine.Within(engine.Key(f.name), err)
		}
	}
	d.depth--
	return nil
}
