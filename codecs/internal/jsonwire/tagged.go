package jsonwire

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// The keys of objects that stand for what JSON has no form for.
const (
	keyBytes    = "$bytes"
	keyTime     = "$time"
	keyDate     = "$date"
	keyDateTime = "$datetime"
	keyRef      = "$ref"
	keyType     = "$type"
	keyValue    = "$value" // follows keyType
	keyMap      = "$map"
)

// tagged reads an object from behind its first key, which is name.
func (r *reader) tagged(t *engine.Token, name []byte) error {
	tag := string(name)
	if err := r.expect(':'); err != nil {
		return err
	}
	switch tag {
	case keyMap:
		t.Kind, t.Len, t.Flags = engine.Map, -1, flagFirst|flagPairs
		return r.expect('[')
	case keyType:
		return r.named(t)
	case keyRef:
		if err := r.ref(t); err != nil {
			return err
		}
		return r.expect('}')
	case keyBytes, keyTime, keyDate, keyDateTime:
	default:
		return fmt.Errorf("key %.64q before offset %d has no meaning; a key of yours that begins with $ is written with two", tag, r.pos)
	}
	if r.peek() != '"' {
		return r.unexpected("the string of a " + tag)
	}
	start := r.pos
	text, err := r.string()
	if err != nil {
		return err
	}
	if err := r.textual(t, tag, text); err != nil {
		return fmt.Errorf("%s at offset %d: %w", tag, start, err)
	}
	return r.expect('}')
}

// textual makes a token of a tag whose value is text.
func (r *reader) textual(t *engine.Token, tag string, text []byte) error {
	switch tag {
	case keyBytes:
		return r.base64(t, text)
	case keyTime:
		at, err := parseTime(string(text))
		t.SetTime(engine.Time, at)
		return err
	case keyDate:
		d, err := value.ParseDate(string(text))
		t.SetTime(engine.Date, d.In(time.UTC))
		return err
	default:
		d, err := value.ParseDateTime(string(text))
		t.SetTime(engine.DateTime, d.In(time.UTC))
		return err
	}
}

func (r *reader) base64(t *engine.Token, text []byte) (err error) {
	t.Kind = engine.Bytes
	r.other, err = base64.StdEncoding.Strict().AppendDecode(r.other[:0], text)
	t.Data = r.other
	return err
}

// parseTime accepts RFC 3339 with at most nine digits of fraction; time.Parse
// would cut more of them off.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%.64q is not RFC 3339", text)
	}
	_, fraction, _ := strings.Cut(text, ".")
	if digits := strings.TrimRight(fraction, "Zz+-:0123456789"); digits != "" || strings.IndexAny(fraction+"Z", "Zz+-") > 9 {
		return t, fmt.Errorf("%.64q has more than nanoseconds", text)
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return t, fmt.Errorf("%.64q is outside of the years 1 to 9999", text)
	}
	return t, nil
}

// named begins a named value, up to the value proper.
func (r *reader) named(t *engine.Token) error {
	if r.peek() != '"' {
		return r.unexpected("the name of a type")
	}
	name, err := r.string()
	if err != nil {
		return err
	}
	r.other = append(r.other[:0], name...)
	if err := r.expect(','); err != nil {
		return err
	}
	if r.peek() != '"' {
		return r.unexpected(keyValue)
	}
	if key, err := r.string(); err != nil || string(key) != keyValue || len(r.other) == 0 {
		return fmt.Errorf("a %s before offset %d without a name, or without a %s right after it", keyType, r.pos, keyValue)
	}
	t.Kind, t.Data = engine.Named, r.other
	return r.expect(':')
}

// ref reads {"class": "", "id": "", "host": ""}, in any order.
func (r *reader) ref(t *engine.Token) error {
	if err := r.expect('{'); err != nil {
		return err
	}
	ref := new(value.Ref)
	fields := map[string]*string{"class": &ref.Class, "id": &ref.ID, "host": &ref.Host}
	var k engine.Token
	object := engine.Frame{Kind: engine.Map, Flags: flagFirst}
	for {
		more, err := r.More(&object)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := r.Key(&object, &k); err != nil {
			return err
		}
		to := fields[string(k.Data)]
		if to == nil {
			return fmt.Errorf("unknown field %.64q of a %s before offset %d", k.Data, keyRef, r.pos)
		}
		if err := r.Value(&object); err != nil {
			return err
		}
		if r.peek() != '"' {
			return r.unexpected("a string")
		}
		text, err := r.string()
		if err != nil {
			return err
		}
		*to = string(text)
	}
	if ref.ID == "" {
		return fmt.Errorf("a %s before offset %d without an id", keyRef, r.pos)
	}
	t.Kind, t.Ref = engine.Ref, ref
	return nil
}
