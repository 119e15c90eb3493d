package engine

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// wellKnownRule is how a message of the google.protobuf package is encoded that
// is not a map of its fields.
type wellKnownRule struct {
	enc func(*Encoder, protoreflect.Message) error
	dec func(*Decoder, protoreflect.Message) error
}

// wellKnown returns the rule for the message type of that name, if it has one.
func wellKnown(name protoreflect.FullName) (wellKnownRule, bool) {
	short, ok := strings.CutPrefix(string(name), "google.protobuf.")
	if !ok {
		return wellKnownRule{}, false
	}
	switch short {
	case "BoolValue", "Int32Value", "Int64Value", "UInt32Value", "UInt64Value",
		"FloatValue", "DoubleValue", "StringValue", "BytesValue":
		return wellKnownRule{encFieldAlone("value"), decFieldAlone("value")}, true
	case "Struct":
		return wellKnownRule{encFieldAlone("fields"), decFieldAlone("fields")}, true
	case "ListValue":
		return wellKnownRule{encFieldAlone("values"), decFieldAlone("values")}, true
	case "Value":
		return wellKnownRule{encValueMessage, decValueMessage}, true
	case "Timestamp":
		return wellKnownRule{encTimestamp, decTimestamp}, true
	case "Duration", "FieldMask":
		return wellKnownRule{encProtoJSONText, decProtoJSONText}, true
	case "Any":
		return wellKnownRule{encAnyMessage, decAnyMessage}, true
	}
	return wellKnownRule{}, false
}

// encFieldAlone encodes a message as its only field.
func encFieldAlone(name protoreflect.Name) func(*Encoder, protoreflect.Message) error {
	return func(e *Encoder, m protoreflect.Message) error {
		fd := m.Descriptor().Fields().ByName(name)
		return e.messageField(fd, m.Get(fd))
	}
}

func decFieldAlone(name protoreflect.Name) func(*Decoder, protoreflect.Message) error {
	return func(d *Decoder, m protoreflect.Message) error {
		return d.messageField(m.Descriptor().Fields().ByName(name), m)
	}
}

func encProtoJSONText(e *Encoder, m protoreflect.Message) error {
	text, err := protoJSONText(m)
	if err != nil {
		return err
	}
	return e.string(text)
}

func decProtoJSONText(d *Decoder, m protoreflect.Message) error {
	name := string(m.Descriptor().FullName())
	if err := d.nextNamed(String, name); err != nil {
		return err
	}
	t := &d.tok
	if len(t.Data) > 64<<10 {
		return mismatchText(name, "a string too long for it")
	}
	quoted := append(append([]byte{'"'}, t.Data...), '"')
	if err := protojson.Unmarshal(quoted, m.Interface()); err != nil {
		return &value.Error{Want: name, Got: "string", Err: err}
	}
	return nil
}

func encValueMessage(e *Encoder, m protoreflect.Message) error {
	fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if fd == nil {
		return cannot("google.protobuf.Value without a kind")
	}
	return e.messageField(fd, m.Get(fd))
}

// decValueMessage chooses the kind by what comes.
func decValueMessage(d *Decoder, m protoreflect.Message) error {
	start := d.R.Pos()
	t := &d.tok
	if err := d.R.Next(t); err != nil {
		return err
	}
	d.R.Seek(start)
	var arm protoreflect.Name
	switch t.Kind {
	case Null:
		arm = "null_value"
	case Bool:
		arm = "bool_value"
	case Int, Uint, Float:
		arm = "number_value"
	case String:
		arm = "string_value"
	case List:
		arm = "list_value"
	case Map:
		arm = "struct_value"
	default:
		return mismatch("google.protobuf.Value", t)
	}
	return d.messageField(m.Descriptor().Fields().ByName(arm), m)
}

func encTimestamp(e *Encoder, m protoreflect.Message) error {
	fields := m.Descriptor().Fields()
	seconds, nanos := m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()
	if seconds < minTimestamp || seconds > maxTimestamp || nanos < 0 || nanos > 999_999_999 {
		return cannot("google.protobuf.Timestamp outside of the years 1 to 9999")
	}
	return e.W.Time(time.Unix(seconds, nanos).UTC())
}

// The first and the last second of the years that a Timestamp may have.
const (
	minTimestamp = -62135596800
	maxTimestamp = 253402300799
)

func decTimestamp(d *Decoder, m protoreflect.Message) error {
	if err := d.nextNamed(Time, "google.protobuf.Timestamp"); err != nil {
		return err
	}
	t := &d.tok
	if seconds := t.Int64(); seconds < minTimestamp || seconds > maxTimestamp {
		return mismatchText("google.protobuf.Timestamp", "a time outside of the years 1 to 9999")
	}
	fields := m.Descriptor().Fields()
	m.Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(t.Int64()))
	m.Set(fields.ByName("nanos"), protoreflect.ValueOfInt32(int32(t.Len)))
	return nil
}

// typeKey is the key under which a google.protobuf.Any has its type.
const typeKey = "@type"

// encAnyMessage encodes the message inside, with its type as an additional
// entry. A message that isn't a map itself becomes the entry "value".
func encAnyMessage(e *Encoder, m protoreflect.Message) error {
	if !m.Has(m.Descriptor().Fields().ByName("type_url")) {
		e.W.MapBegin(0, true)
		e.W.MapEnd()
		return nil
	}
	url, inner, err := resolveAny(m)
	if err != nil {
		return err
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	known, isKnown := wellKnown(inner.Descriptor().FullName())
	n := 2
	if !isKnown {
		n = 1
		inner.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { n++; return true })
	}
	e.W.MapBegin(n, true)
	if err := e.textKey(0, typeKey); err != nil {
		return err
	}
	if err := e.string(url); err != nil {
		return err
	}
	if isKnown {
		if err := e.W.TextKey(1, "value"); err != nil {
			return err
		}
		err = known.enc(e, inner)
	} else {
		err = e.messageFields(inner, 1)
	}
	if err == nil {
		e.W.MapEnd()
	}
	return err
}

// decAnyMessage looks for the type first, which may be anywhere in the map.
func decAnyMessage(d *Decoder, m protoreflect.Message) error {
	start := d.R.Pos()
	url, err := d.findType()
	if err != nil || url == "" {
		return err
	}
	typ, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return mismatchText("google.protobuf.Any", "type "+url+", which this program does not know")
	}
	d.R.Seek(start)
	inner := typ.New()
	if err := d.anyContents(inner); err != nil {
		return err
	}
	data, err := proto.Marshal(inner.Interface())
	if err != nil {
		return &value.Error{Want: url, Err: err}
	}
	if err := d.Charge(len(data)); err != nil {
		return err
	}
	fields := m.Descriptor().Fields()
	m.Set(fields.ByName("type_url"), protoreflect.ValueOfString(url))
	m.Set(fields.ByName("value"), protoreflect.ValueOfBytes(data))
	return nil
}

// findType reads the map that is next and returns its type. It is "" if the map
// is empty.
func (d *Decoder) findType() (string, error) {
	if err := d.nextNamed(Map, "google.protobuf.Any"); err != nil {
		return "", err
	}
	t, err := d.enter()
	if err != nil {
		return "", err
	}
	defer d.close()
	url, empty := "", true
	for {
		more, err := d.R.More(t)
		if err != nil {
			return "", err
		}
		if !more {
			break
		}
		empty = false
		if err := d.R.Key(t, &d.tok); err != nil {
			return "", err
		}
		isType := d.tok.Kind == String && string(d.tok.Data) == typeKey
		if err := d.R.Value(t); err != nil {
			return "", err
		}
		if !isType {
			if err := d.R.Skip(); err != nil {
				return "", err
			}
			continue
		}
		if err := d.nextNamed(String, "the name of a type"); err != nil {
			return "", Within(Key(typeKey), err)
		}
		if url, err = d.text(&d.tok); err != nil {
			return "", err
		}
	}
	if url == "" && !empty {
		return "", mismatchText("google.protobuf.Any", `a map without "@type"`)
	}
	return url, nil
}

// anyContents decodes the map that is next into the message of an Any.
func (d *Decoder) anyContents(inner protoreflect.Message) error {
	known, isKnown := wellKnown(inner.Descriptor().FullName())
	if !isKnown {
		return d.messageFields(inner, typeKey)
	}
	if err := d.nextNamed(Map, "google.protobuf.Any"); err != nil {
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
		if err := d.R.Key(t, &d.tok); err != nil {
			return err
		}
		name := string(d.tok.Data)
		if err := d.R.Value(t); err != nil {
			return err
		}
		switch name {
		case typeKey:
			err = d.R.Skip()
		case "value":
			err = known.dec(d, inner)
		default:
			err = cannot("no such field in %s", inner.Descriptor().FullName())
		}
		if err != nil {
			return Within(Key(name), err)
		}
	}
}
