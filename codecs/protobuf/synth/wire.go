package synth

import (
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// record is one field on the wire: its number, and the value in one of two forms.
type record struct {
	num  protowire.Number
	typ  protowire.Type
	bits uint64 // of a varint or a fixed-size number
	data []byte // of what has a size
	size int    // of the whole record
}

// next reads the first record of data.
func next(data []byte) (r record, err error) {
	num, typ, n := protowire.ConsumeTag(data)
	if n < 0 {
		return r, wireError(n)
	}
	r.num, r.typ = num, typ
	var m int
	switch typ {
	case protowire.VarintType:
		r.bits, m = protowire.ConsumeVarint(data[n:])
	case protowire.Fixed32Type:
		var u uint32
		u, m = protowire.ConsumeFixed32(data[n:])
		r.bits = uint64(u)
	case protowire.Fixed64Type:
		r.bits, m = protowire.ConsumeFixed64(data[n:])
	case protowire.BytesType:
		r.data, m = protowire.ConsumeBytes(data[n:])
	default:
		return r, fmt.Errorf("field %d is a group, which nothing here is", num)
	}
	if m < 0 {
		return r, wireError(m)
	}
	r.size = n + m
	return r, nil
}

func wireError(n int) error {
	err := protowire.ParseError(n)
	if err.Error() == io.ErrUnexpectedEOF.Error() {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("not a protobuf message: %w", err)
}

// decoder holds what counts over a whole value.
type decoder struct {
	depth int
	engine.Budget
}

func newDecoder(size int) *decoder { return &decoder{Budget: engine.NewBudget(size)} }

// checkDepth is called for a message inside of depth others.
func checkDepth(depth int) error {
	if depth == value.MaxDepth {
		return &value.Error{Got: fmt.Sprintf("nested deeper than %d levels", value.MaxDepth)}
	}
	return nil
}

func mismatch(t reflect.Type, got string) error {
	return &value.Error{Want: t.String(), Got: got}
}

var errUTF8 = "a string that is not valid UTF-8"

func checkText(s []byte) error {
	if !utf8.Valid(s) {
		return &value.Error{Got: errUTF8}
	}
	return nil
}

// appendSized appends what f appends, preceded by its size.
func appendSized(b []byte, f func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b) + 1
	b, err := f(append(b, 0))
	if err != nil {
		return nil, err
	}
	n := len(b) - start
	if more := protowire.SizeVarint(uint64(n)) - 1; more > 0 {
		var room [9]byte
		b = append(b, room[:more]...)
		copy(b[start+more:], b[start:start+n])
	}
	protowire.AppendVarint(b[:start-1], uint64(n))
	return b, nil
}
