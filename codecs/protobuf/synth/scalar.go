package synth

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/carp-rpc/carp-go/codecs/value"
)

const (
	kindBool    = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	kindInt32   = descriptorpb.FieldDescriptorProto_TYPE_INT32
	kindInt64   = descriptorpb.FieldDescriptorProto_TYPE_INT64
	kindUint32  = descriptorpb.FieldDescriptorProto_TYPE_UINT32
	kindUint64  = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	kindFloat   = descriptorpb.FieldDescriptorProto_TYPE_FLOAT
	kindDouble  = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE
	kindString  = descriptorpb.FieldDescriptorProto_TYPE_STRING
	kindBytes   = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	kindMessage = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

// scalarForm returns the form that follows from the kind of t alone, or nil.
func scalarForm(t reflect.Type) *single {
	switch t.Kind() {
	case reflect.Bool:
		return boolForm
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return intForm(kindInt32)
	case reflect.Int, reflect.Int64:
		return intForm(kindInt64)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return uintForm(kindUint32)
	case reflect.Uint, reflect.Uint64:
		return uintForm(kindUint64)
	case reflect.Float32:
		return floatForm
	case reflect.Float64:
		return doubleForm
	case reflect.String:
		return stringForm
	default:
		return nil
	}
}

var boolForm = &single{
	kind: kindBool, wire: protowire.VarintType, packed: true, zero: reflect.Value.IsZero,
	enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
		return protowire.AppendVarint(b, protowire.EncodeBool(v.Bool())), nil
	},
	dec: func(_ *decoder, r record, v reflect.Value) error {
		v.SetBool(protowire.DecodeBool(r.bits))
		return nil
	},
}

// intForm is for all signed integers. On the wire they have 64 bits, also those
// that the descriptor says have 32; whether the Go type has room is looked at
// here, where a protobuf library would cut.
func intForm(kind descriptorpb.FieldDescriptorProto_Type) *single {
	return &single{
		kind: kind, wire: protowire.VarintType, packed: true, zero: reflect.Value.IsZero,
		enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return protowire.AppendVarint(b, uint64(v.Int())), nil
		},
		dec: func(_ *decoder, r record, v reflect.Value) error {
			if v.OverflowInt(int64(r.bits)) {
				return mismatch(v.Type(), strconv.FormatInt(int64(r.bits), 10))
			}
			v.SetInt(int64(r.bits))
			return nil
		},
	}
}

func uintForm(kind descriptorpb.FieldDescriptorProto_Type) *single {
	return &single{
		kind: kind, wire: protowire.VarintType, packed: true, zero: reflect.Value.IsZero,
		enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return protowire.AppendVarint(b, v.Uint()), nil
		},
		dec: func(_ *decoder, r record, v reflect.Value) error {
			if v.OverflowUint(r.bits) {
				return mismatch(v.Type(), strconv.FormatUint(r.bits, 10))
			}
			v.SetUint(r.bits)
			return nil
		},
	}
}

// zeroFloat is for floats: -0 is a value of its own.
func zeroFloat(v reflect.Value) bool { return math.Float64bits(v.Float()) == 0 }

var floatForm = &single{
	kind: kindFloat, wire: protowire.Fixed32Type, packed: true, zero: zeroFloat,
	enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
		return protowire.AppendFixed32(b, math.Float32bits(float32(v.Float()))), nil
	},
	dec: func(_ *decoder, r record, v reflect.Value) error {
		v.SetFloat(float64(math.Float32frombits(uint32(r.bits))))
		return nil
	},
}

var doubleForm = &single{
	kind: kindDouble, wire: protowire.Fixed64Type, packed: true, zero: zeroFloat,
	enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
		return protowire.AppendFixed64(b, math.Float64bits(v.Float())), nil
	},
	dec: func(_ *decoder, r record, v reflect.Value) error {
		v.SetFloat(math.Float64frombits(r.bits))
		return nil
	},
}

var stringForm = &single{
	kind: kindString, wire: protowire.BytesType, zero: reflect.Value.IsZero,
	enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
		s := v.String()
		if err := checkText([]byte(s)); err != nil {
			return nil, err
		}
		return protowire.AppendString(b, s), nil
	},
	dec: func(d *decoder, r record, v reflect.Value) error {
		if err := checkText(r.data); err != nil {
			return err
		}
		if err := d.Charge(len(r.data)); err != nil {
			return err
		}
		v.SetString(string(r.data))
		return nil
	},
}

// textForm is for types that are text by their own methods.
var textForm = &single{
	kind: kindString, wire: protowire.BytesType, zero: func(reflect.Value) bool { return false },
	enc: func(_ int, b []byte, v reflect.Value) ([]byte, error) {
		text, err := addressed(v).Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return nil, &value.Error{Got: v.Type().String(), Err: err}
		}
		if err := checkText(text); err != nil {
			return nil, err
		}
		return protowire.AppendBytes(b, text), nil
	},
	dec: func(_ *decoder, r record, v reflect.Value) error {
		if err := checkText(r.data); err != nil {
			return err
		}
		text := append([]byte(nil), r.data...)
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
			return &value.Error{Want: v.Type().String(), Got: "string", Err: err}
		}
		return nil
	},
}

// addressed returns a pointer to v, or to a copy of it.
func addressed(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

// bytesForm is for slices and arrays of bytes, and for value.Bytes.
func bytesForm(t reflect.Type) *single {
	s := &single{kind: kindBytes, wire: protowire.BytesType}
	switch t.Kind() {
	case reflect.Array:
		s.zero = func(reflect.Value) bool { return false } // it has a length to check
		s.enc = func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return protowire.AppendBytes(b, addressed(v).Elem().Bytes()), nil
		}
		s.dec = func(_ *decoder, r record, v reflect.Value) error {
			if len(r.data) != v.Len() {
				return mismatch(v.Type(), fmt.Sprintf("%d bytes", len(r.data)))
			}
			reflect.Copy(v, reflect.ValueOf(r.data))
			return nil
		}
	case reflect.String:
		s.zero = reflect.Value.IsZero
		s.enc = func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return protowire.AppendString(b, v.String()), nil
		}
		s.dec = func(d *decoder, r record, v reflect.Value) error {
			if err := d.Charge(len(r.data)); err != nil {
				return err
			}
			v.SetString(string(r.data))
			return nil
		}
	default:
		s.zero = func(v reflect.Value) bool { return v.Len() == 0 }
		s.enc = func(_ int, b []byte, v reflect.Value) ([]byte, error) {
			return protowire.AppendBytes(b, v.Bytes()), nil
		}
		s.dec = func(d *decoder, r record, v reflect.Value) error {
			if err := d.Charge(len(r.data)); err != nil {
				return err
			}
			v.SetBytes(append(make([]byte, 0, len(r.data)), r.data...))
			return nil
		}
	}
	return s
}
