package jsonwire

import (
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// reader reads tokens of JSON. It implements engine.Source.
//
// Before anything is read, encoding/json has looked over the whole text, so that
// the grammar is known to hold. The reader walks through it and looks only where
// it must; on a text that nobody has looked at it finds some faults and not
// others, but does not panic.
type reader struct {
	data []byte
	pos  int

	// plain makes an object with a "$" key a map like any other, and leaves
	// numbers unread: for checking the shape.
	plain bool

	unescaped []byte // the latest string that had escapes
	other     []byte // bytes that were base64, or the name of a type
}

// Flags of a token that is being read.
const (
	flagFirst = 1 << iota // no element has been read yet
	flagPairs             // a map that is written as a list of pairs
)

// maxKept is how many bytes are kept for the next string.
const maxKept = 4 << 10

// Reset makes r read data. With check, it is only for its shape, and its grammar
// is looked at.
func (r *reader) Reset(data []byte, check bool) error {
	r.data, r.pos, r.plain = data, 0, check
	if max(cap(r.unescaped), cap(r.other)) > maxKept {
		r.unescaped, r.other = nil, nil
	}
	if !check || json.Valid(data) {
		return nil
	}
	var all json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return grammarError(err, len(data))
	}
	return nil
}

// grammarError adds the position to an error of encoding/json.
func grammarError(err error, size int) error {
	syntax, ok := err.(*json.SyntaxError) //nolint:errorlint // documented to be this type
	switch {
	case !ok:
		return err
	case syntax.Offset >= int64(size):
		return fmt.Errorf("%w at offset %d: %w", err, syntax.Offset, io.ErrUnexpectedEOF)
	default:
		return fmt.Errorf("%w at offset %d", err, syntax.Offset)
	}
}

func (r *reader) Pos() engine.Pos   { return engine.Pos{At: r.pos} }
func (r *reader) Seek(p engine.Pos) { r.pos = p.At }

// Done returns an error if something is left.
func (r *reader) Done() error {
	if r.peek() != 0 {
		return r.unexpected("nothing more")
	}
	return nil
}

// peek moves to the next byte that isn't white space and returns it, or 0 at the
// end.
func (r *reader) peek() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// expect moves behind byte c.
func (r *reader) expect(c byte) error {
	if r.peek() != c {
		return r.unexpected(string(rune(c)))
	}
	r.pos++
	return nil
}

func (r *reader) unexpected(want string) error {
	if r.pos >= len(r.data) {
		return fmt.Errorf("%s wanted at offset %d: %w", want, r.pos, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s wanted at offset %d, there is %q", want, r.pos, r.data[r.pos])
}

// word moves behind a word.
func (r *reader) word(w string) error {
	if len(r.data)-r.pos < len(w) || string(r.data[r.pos:r.pos+len(w)]) != w {
		return r.unexpected(w)
	}
	r.pos += len(w)
	return nil
}

// Null moves behind a null.
func (r *reader) Null() bool { return r.peek() == 'n' && r.word("null") == nil }

// Next reads a token.
func (r *reader) Next(t *engine.Token) (err error) {
	switch c := r.peek(); c {
	case 'n':
		t.Kind = engine.Null
		return r.word("null")
	case 'f':
		t.Kind, t.Num = engine.Bool, 0
		return r.word("false")
	case 't':
		t.Kind, t.Num = engine.Bool, 1
		return r.word("true")
	case '"':
		t.Kind, t.TextOnly = engine.String, false
		t.Data, err = r.string()
		return err
	case '[':
		r.pos++
		t.Kind, t.Len, t.Flags = engine.List, -1, flagFirst
		return nil
	case '{':
		r.pos++
		return r.object(t)
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return r.number(t)
		}
		return r.unexpected("a value")
	}
}

// object begins a map, or reads what an object with a "$" key stands for.
func (r *reader) object(t *engine.Token) error {
	if !r.plain && r.peek() == '"' && r.pos+1 < len(r.data) {
		// An escape could hide the dollar sign.
		if c := r.data[r.pos+1]; c == '$' || c == '\\' {
			start := r.pos
			name, err := r.string()
			if err != nil {
				return err
			}
			if reserved(name) {
				return r.tagged(t, name)
			}
			r.pos = start
		}
	}
	t.Kind, t.Len, t.Flags = engine.Map, -1, flagFirst
	return nil
}

// reserved reports whether a key is one of carp's own. A user's key that begins
// with a dollar sign is written with two.
func reserved(key []byte) bool {
	return len(key) > 0 && key[0] == '$' && (len(key) == 1 || key[1] != '$')
}

// More moves to the next element or entry.
func (r *reader) More(t *engine.Frame) (bool, error) {
	end := byte(']')
	if t.Kind == engine.Map && t.Flags&flagPairs == 0 {
		end = '}'
	}
	first := t.Flags&flagFirst != 0
	t.Flags &^= flagFirst
	if !first && t.Flags&flagPairs != 0 {
		if err := r.expect(']'); err != nil { // the end of the pair
			return false, err
		}
	}
	switch c := r.peek(); {
	case c == end:
		r.pos++
		if t.Flags&flagPairs != 0 {
			return false, r.expect('}')
		}
		return false, nil
	case first:
		return true, nil
	default:
		return true, r.expect(',')
	}
}

// Key reads a key.
func (r *reader) Key(m *engine.Frame, k *engine.Token) (err error) {
	if m.Flags&flagPairs != 0 {
		if err := r.expect('['); err != nil {
			return err
		}
		return r.Next(k)
	}
	if r.peek() != '"' {
		return r.unexpected("a key")
	}
	k.Kind, k.TextOnly = engine.String, true
	if k.Data, err = r.string(); err != nil || r.plain || len(k.Data) == 0 || k.Data[0] != '$' {
		return err
	}
	if reserved(k.Data) {
		return fmt.Errorf("key %.64q before offset %d: a key that begins with $ is written with two of them", k.Data, r.pos)
	}
	k.Data = k.Data[1:]
	return nil
}

// Value moves to the value of an entry.
func (r *reader) Value(m *engine.Frame) error {
	if m.Flags&flagPairs != 0 {
		return r.expect(',')
	}
	return r.expect(':')
}

// Close ends a named value.
func (r *reader) Close(*engine.Frame) error { return r.expect('}') }

// Skip moves behind the next value. Its grammar is known to be right.
func (r *reader) Skip() error {
	r.peek()
	for depth := 0; r.pos < len(r.data); {
		switch c := r.data[r.pos]; c {
		case '"':
			if err := r.skipString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			r.pos++
		case '}', ']':
			depth--
			r.pos++
		default:
			r.pos++
			if depth == 0 {
				r.skipScalar()
			}
		}
		if depth == 0 {
			return nil
		}
	}
	return r.unexpected("a value")
}

func (r *reader) skipString() error {
	for r.pos++; r.pos < len(r.data); r.pos++ {
		switch r.data[r.pos] {
		case '\\':
			r.pos++
		case '"':
			r.pos++
			return nil
		}
	}
	return r.unexpected("the end of a string")
}

// skipScalar moves to the end of a number or word.
func (r *reader) skipScalar() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r', ',', ':', '}', ']':
			return
		}
		r.pos++
	}
}

// Message reads the ProtoJSON form of a message.
func (r *reader) Message(m proto.Message) error {
	start := r.pos
	if err := r.Skip(); err != nil {
		return err
	}
	if err := protojson.Unmarshal(r.data[start:r.pos], m); err != nil {
		return &value.Error{Want: string(m.ProtoReflect().Descriptor().FullName()), Err: err}
	}
	return nil
}

// string reads a string. What it returns is valid until the next call.
func (r *reader) string() ([]byte, error) {
	start := r.pos + 1
	for i := start; i < len(r.data); i++ {
		switch r.data[i] {
		case '"':
			r.pos = i + 1
			return r.valid(r.data[start:i], start)
		case '\\':
			return r.unescape(start, i)
		}
	}
	r.pos = len(r.data)
	return nil, r.unexpected("the end of a string")
}

// valid refuses text that encoding/json would change to U+FFFD. Looking once is
// enough.
func (r *reader) valid(s []byte, start int) ([]byte, error) {
	if r.plain && !utf8.Valid(s) {
		return nil, fmt.Errorf("a string at offset %d that is not valid UTF-8", start)
	}
	return s, nil
}
