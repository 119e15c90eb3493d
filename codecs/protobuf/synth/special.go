package synth

import (
	"reflect"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// form is a single that is a message of a file which exists already.
type form struct {
	single
	file protoreflect.FileDescriptor
}

// formCost and formFactor are what it takes to read a message on the way to a Go value, by
// itself and for each byte of it.
const (
	formCost   = 320
	formFactor = 8
)

func neverZero(reflect.Value) bool { return false }

// asMessage is the form of Go type T as message M.
func asMessage[T any, M proto.Message](to func(T) (M, error), from func(M) (T, error)) *form {
	var none M
	typ := none.ProtoReflect().Type()
	f := &form{file: typ.Descriptor().ParentFile()}
	f.single = single{
		kind: kindMessage, message: string(typ.Descriptor().FullName()), wire: protowire.BytesType, zero: neverZero,
		enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			m, err := to(v.Interface().(T))
			if err != nil {
				return nil, err
			}
			return appendMessage(b, m)
		},
		dec: func(d *decoder, r record, v reflect.Value) error {
			if err := d.Charge(formCost + formFactor*len(r.data)); err != nil {
				return err
			}
			m := typ.New().Interface().(M)
			if err := parseMessage(r.data, m); err != nil {
				return err
			}
			x, err := from(m)
			if err == nil {
				v.Set(reflect.ValueOf(&x).Elem())
			}
			return err
		},
	}
	return f
}

func appendMessage(b []byte, m proto.Message) ([]byte, error) {
	b, err := appendSized(b, func(b []byte) ([]byte, error) {
		return proto.MarshalOptions{}.MarshalAppend(b, m)
	})
	if err != nil {
		return nil, &value.Error{Got: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	return b, nil
}

// parseMessage merges data into m. Its unknown fields stay in it.
func parseMessage(data []byte, m proto.Message) error {
	err := proto.UnmarshalOptions{Merge: true, RecursionLimit: value.MaxDepth}.Unmarshal(data, m)
	if err != nil {
		return &value.Error{Want: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	return nil
}

var timestampForm = asMessage(
	func(t time.Time) (*timestamppb.Timestamp, error) {
		m := timestamppb.New(t)
		if err := m.CheckValid(); err != nil {
			return nil, &value.Error{Got: "a time outside of the years 1 to 9999, which a Timestamp has no form for"}
		}
		return m, nil
	},
	func(m *timestamppb.Timestamp) (time.Time, error) {
		if err := m.CheckValid(); err != nil {
			return time.Time{}, &value.Error{Want: "time.Time", Err: err}
		}
		return m.AsTime(), nil
	},
)

// These go by way of a carp.v1.Value, which checks them.
var (
	dateForm = asMessage(
		func(d value.Date) (*carpv1.Date, error) {
			m, err := carp.ToProto(d)
			return m.GetDateValue(), err
		},
		func(m *carpv1.Date) (d value.Date, err error) {
			return d, carp.FromProto(&carpv1.Value{Kind: &carpv1.Value_DateValue{DateValue: m}}, &d)
		},
	)
	dateTimeForm = asMessage(
		func(d value.DateTime) (*carpv1.DateTime, error) {
			m, err := carp.ToProto(d)
			return m.GetDatetimeValue(), err
		},
		func(m *carpv1.DateTime) (d value.DateTime, err error) {
			return d, carp.FromProto(&carpv1.Value{Kind: &carpv1.Value_DatetimeValue{DatetimeValue: m}}, &d)
		},
	)
	refForm = asMessage(
		func(r value.Ref) (*carpv1.Ref, error) {
			m, err := carp.ToProto(r)
			return m.GetRefValue(), err
		},
		func(m *carpv1.Ref) (r value.Ref, err error) {
			return r, carp.FromProto(&carpv1.Value{Kind: &carpv1.Value_RefValue{RefValue: m}}, &r)
		},
	)
	namedForm = asMessage(
		func(n value.Named) (*carpv1.Named, error) {
			m, err := carp.ToProto(n)
			return m.GetNamedValue(), err
		},
		func(m *carpv1.Named) (n value.Named, err error) {
			return n, carp.FromProto(&carpv1.Value{Kind: &carpv1.Value_NamedValue{NamedValue: m}}, &n)
		},
	)
)

// valueForm is the form of types that are what a carp.v1.Value makes of them: any,
// and types with hooks.
func valueForm(reflect.Type) *form {
	md := (*carpv1.Value)(nil).ProtoReflect().Descriptor()
	return &form{
		file: md.ParentFile(),
		single: single{
			kind: kindMessage, message: string(md.FullName()), wire: protowire.BytesType, zero: neverZero,
			enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
				return appendSized(b, func(b []byte) ([]byte, error) { return carp.Codec{}.Append(b, v) })
			},
			dec: func(d *decoder, r record, v reflect.Value) error {
				return carp.UnmarshalWithin(r.data, v.Addr().Interface(), (*int)(&d.Budget))
			},
		},
	}
}

// use notes that the service needs the file of f.
func (b *builder) use(f *form) *single {
	b.imports[f.file.Path()] = f.file
	return &f.single
}

// messageForm is the form of a pointer to a generated message: its own. A nil
// pointer is a field that is not there.
func (b *builder) messageForm(t reflect.Type) *single {
	md := ownMessage(t)
	b.imports[md.ParentFile().Path()] = md.ParentFile()
	return &single{
		kind: kindMessage, message: string(md.FullName()), wire: protowire.BytesType, zero: reflect.Value.IsNil,
		enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return appendMessage(b, v.Interface().(proto.Message))
		},
		dec: func(d *decoder, r record, v reflect.Value) error {
			if v.IsNil() {
				if err := d.Charge(int(t.Elem().Size())); err != nil {
					return err
				}
				v.Set(reflect.New(t.Elem()))
			}
			return parseMessage(r.data, v.Interface().(proto.Message))
		},
	}
}

// pointerForm is the form of a pointer to a message that is made here. A nil
// pointer is a field that is not there.
func (b *builder) pointerForm(t reflect.Type) (*single, error) {
	elem, err := b.single(t.Elem())
	if err != nil {
		return nil, err
	}
	s := *elem
	s.zero = reflect.Value.IsNil
	s.enc = func(depth int, b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return nil, &value.Error{Got: "a nil pointer in a list or map, which protobuf has no form for"}
		}
		return elem.enc(depth, b, v.Elem())
	}
	s.dec = func(d *decoder, r record, v reflect.Value) error {
		if v.IsNil() {
			if err := d.Charge(int(t.Elem().Size())); err != nil {
				return err
			}
			v.Set(reflect.New(t.Elem()))
		}
		return elem.dec(d, r, v.Elem())
	}
	return &s, nil
}
