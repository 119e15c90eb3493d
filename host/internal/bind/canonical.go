package bind

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// MaxCanonical is the longest canonical text that is announced, and the longest
// that is read. A signature with a longer one is announced without: it fits
// whatever its calls fit.
const MaxCanonical = 4 << 10

// ownNames are the canonical names of types that codecs know by themselves.
var ownNames = map[reflect.Type]string{
	timeType:                          "time",
	reflect.TypeFor[value.Date]():     "date",
	reflect.TypeFor[value.DateTime](): "datetime",
	reflect.TypeFor[value.Ref]():      "ref",
	reflect.TypeFor[value.Bytes]():    "bytes",
	reflect.TypeFor[value.Named]():    "any",
}

// Canonical is the text of the signature that is announced to peers, in whatever
// language they are: the shapes of parameters and results as they travel, without
// names. It is empty if it would be too long.
//
//	signature = "(" [ param { ", " param } ] ")" [ results ]
//	results   = " " result | " (" result ", " result { ", " result } ")"
//	param     = type | type "?" | "..." type | "stream " type
//	result    = type | "stream " type
//	type      = "bool" | "int8" … "uint64" | "float32" | "float64" | "string" |
//	            "bytes" | "time" | "date" | "datetime" | "ref" | "any" |
//	            "*" type | "[]" type | "map[" type "]" type |
//	            "{" [ name " " type { ", " name " " type } ] "}" |
//	            "message " name | "class " name | "func" signature | "^" n
//
// A "?" marks a parameter that may be left out, "^1" the struct around it, "^2"
// the one around that.
func (s *Signature) Canonical() string { return s.canonical }

// Hash is the first 8 bytes of the SHA-256 of the canonical text; 0 if there is
// none.
func (s *Signature) Hash() uint64 { return s.hash }

func (s *Signature) setCanonical() {
	var w canonicalWriter
	w.signature(s)
	if w.b.Len() > MaxCanonical {
		return
	}
	s.canonical = w.b.String()
	sum := sha256.Sum256([]byte(s.canonical))
	s.hash = binary.BigEndian.Uint64(sum[:])
}

type canonicalWriter struct {
	b     strings.Builder
	above []reflect.Type // the structs around
}

func (w *canonicalWriter) signature(s *Signature) {
	w.b.WriteByte('(')
	for i := range s.Params {
		p := &s.Params[i]
		if i > 0 {
			w.b.WriteString(", ")
		}
		w.param(s, p, i == len(s.Params)-1)
	}
	w.b.WriteByte(')')
	sep, end := " ", ""
	if len(s.Results) > 1 {
		sep, end = " (", ")"
	}
	for i := range s.Results {
		w.b.WriteString(sep)
		sep = ", "
		r := &s.Results[i]
		if s.Stream != NoStream {
			w.b.WriteString("stream ")
		}
		w.value(r.Type, r.Ref)
	}
	w.b.WriteString(end)
}

// value writes the type of what may travel as a reference.
func (w *canonicalWriter) value(t reflect.Type, ref string) {
	if ref != "" {
		w.b.WriteString(ref)
		return
	}
	w.typ(t)
}

func (w *canonicalWriter) param(s *Signature, p *Param, last bool) {
	switch {
	case p.Ref != "":
		w.b.WriteString(p.Ref)
	case p.Stream != NoStream:
		w.b.WriteString("stream ")
		w.typ(p.Type)
	case s.Variadic && last:
		w.b.WriteString("...")
		w.typ(p.Type.Elem())
	default:
		w.typ(p.Type)
		if p.Optional && p.Type.Kind() != reflect.Pointer {
			w.b.WriteByte('?')
		}
	}
}

func (w *canonicalWriter) typ(t reflect.Type) {
	if w.b.Len() > MaxCanonical {
		return // too long already
	}
	if name, ok := ownNames[t]; ok {
		w.b.WriteString(name)
		return
	}
	if name, ok := ownFormName(t); ok {
		w.b.WriteString(name)
		return
	}
	switch k := t.Kind(); k {
	case reflect.Int:
		w.b.WriteString("int64")
	case reflect.Uint:
		w.b.WriteString("uint64")
	case reflect.Interface:
		w.b.WriteString("any")
	case reflect.Pointer:
		w.b.WriteByte('*')
		w.typ(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			w.b.WriteString("bytes")
			return
		}
		w.b.WriteString("[]")
		w.typ(t.Elem())
	case reflect.Map:
		w.b.WriteString("map[")
		w.typ(t.Key())
		w.b.WriteByte(']')
		w.typ(t.Elem())
	case reflect.Struct:
		w.fields(t)
	default:
		w.b.WriteString(k.String())
	}
}

func (w *canonicalWriter) fields(t reflect.Type) {
	for i, above := range w.above {
		if above == t {
			w.b.WriteString("^" + strconv.Itoa(len(w.above)-i))
			return
		}
	}
	w.above = append(w.above, t)
	w.b.WriteByte('{')
	sep := ""
	for _, f := range reflect.VisibleFields(t) {
		name, skip := FieldName(f)
		if skip || f.Anonymous && name == f.Name || !visible(t, f) {
			continue
		}
		w.b.WriteString(sep + name + " ")
		w.typ(f.Type)
		sep = ", "
	}
	w.b.WriteByte('}')
	w.above = w.above[:len(w.above)-1]
}

// visible reports whether a field is reached without passing through one that is
// carried under a name of its own.
func visible(t reflect.Type, f reflect.StructField) bool {
	for n := 1; n < len(f.Index); n++ {
		outer := t.FieldByIndex(f.Index[:n])
		if name, skip := FieldName(outer); !skip && name != outer.Name {
			return false
		}
	}
	return true
}

// ownFormName names a type that knows its own form: that of a hook can be
// anything.
func ownFormName(t reflect.Type) (string, bool) {
	p := reflect.PointerTo(t)
	is := func(i reflect.Type) bool { return t.Implements(i) || p.Implements(i) }
	switch {
	case t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer && !t.Implements(messageType):
		return "", false
	case is(messageType):
		if t.Kind() != reflect.Pointer {
			t = p
		}
		m := reflect.New(t.Elem()).Interface().(proto.Message)
		return "message " + string(m.ProtoReflect().Descriptor().FullName()), true
	case is(reflect.TypeFor[value.Encoder]()), is(reflect.TypeFor[value.Decoder]()):
		return "any", true
	case is(reflect.TypeFor[encoding.TextMarshaler]()), is(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "string", true
	}
	return "", false
}

var messageType = reflect.TypeFor[proto.Message]()
