package engine

import (
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// Encoder encodes Go values to a Writer. The zero Encoder with a Writer is ready
// for use, by one goroutine at a time.
type Encoder struct {
	W     Writer
	depth int
}

// Encode encodes v; the zero Value is null. After an error, the encoder and
// what its writer has written are of no use.
func (e *Encoder) Encode(v reflect.Value) error {
	if !v.IsValid() {
		e.W.Null()
		return nil
	}
	return planOf(v.Type()).enc(e, v)
}

// EncodeAny encodes v like Encode does. Common types take a short way.
func (e *Encoder) EncodeAny(v any) error {
	switch v := v.(type) {
	case nil:
		e.W.Null()
	case bool:
		e.W.Bool(v)
	case int:
		e.W.Int(int64(v))
	case int64:
		e.W.Int(v)
	case uint64:
		e.W.Uint(v)
	case float64:
		return e.W.Float64(v)
	case string:
		return e.string(v)
	case []byte:
		if v == nil {
			e.W.Null()
			return nil
		}
		e.W.Bytes(v)
	case []any:
		return e.listAny(v)
	case map[string]any:
		return e.mapAny(v)
	case time.Time:
		return e.W.Time(v)
	default:
		rv := reflect.ValueOf(v)
		return planOf(rv.Type()).enc(e, rv)
	}
	return nil
}

// enter begins a value that contains others, leave ends it. The limit is that
// of [Check]: what is written must be readable. It also ends cyclic data.
func (e *Encoder) enter() error {
	if e.depth++; e.depth > value.MaxDepth {
		return errTooDeep()
	}
	return nil
}

func (e *Encoder) leave() { e.depth-- }

func (e *Encoder) string(s string) error {
	if !utf8.ValidString(s) {
		return cannot("a string that is not valid UTF-8; bytes need a []byte")
	}
	return e.W.String(s)
}

func (e *Encoder) textKey(i int, s string) error {
	if !utf8.ValidString(s) {
		return cannot("a map key that is not valid UTF-8; bytes need a value.Bytes")
	}
	return e.W.TextKey(i, s)
}

func (e *Encoder) listAny(list []any) error {
	if list == nil {
		e.W.Null()
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	e.W.ListBegin(len(list))
	for i, item := range list {
		e.W.ListItem(i)
		if err := e.EncodeAny(item); err != nil {
			return Within(Index(i), err)
		}
	}
	e.W.ListEnd()
	e.leave()
	return nil
}

func (e *Encoder) mapAny(m map[string]any) error {
	if m == nil {
		e.W.Null()
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	e.W.MapBegin(len(m), true)
	i := 0
	for name, elem := range m {
		if err := e.textKey(i, name); err != nil {
			return err
		}
		if err := e.EncodeAny(elem); err != nil {
			return Within(Key(name), err)
		}
		i++
	}
	e.W.MapEnd()
	e.leave()
	return nil
}
