package codectest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// celsius is a number on the wire.
type celsius struct{ millis int }

func (c celsius) EncodeValue() (any, error) { return float64(c.millis) / 1000, nil }

func (c *celsius) DecodeValue(decode func(any) error) error {
	var f float64
	if err := decode(&f); err != nil {
		return err
	}
	c.millis = int(f * 1000)
	return nil
}

// shape is recognised by its name, and may come as a bare list of points.
type shape struct {
	points []inner
}

func (s *shape) EncodeValue() (any, error) {
	if s == nil {
		return "no shape", nil
	}
	return value.Named{Name: "shape", Value: s.points}, nil
}

var errNoShape = errors.New("no shape")

func (s *shape) DecodeValue(decode func(any) error) error {
	if decode(&s.points) == nil {
		return nil
	}
	var n value.Named
	if err := decode(&n); err != nil {
		return err
	}
	if n.Name != "shape" {
		return fmt.Errorf("%w: %s", errNoShape, n.Name)
	}
	s.points = nil
	for _, p := range n.Value.([]any) {
		m := p.(map[string]any)
		s.points = append(s.points, inner{int(m["x"].(int64)), int(m["y"].(int64))})
	}
	return nil
}

// lazy never calls decode, keeper keeps it.
type lazy struct{ asked bool }

func (l *lazy) DecodeValue(func(any) error) error { l.asked = true; return nil }

type keeper struct{ decode func(any) error }

func (k *keeper) DecodeValue(decode func(any) error) error { k.decode = decode; return nil }

// patient is true if it can be, and otherwise satisfied with whatever is there.
type patient struct{ truth bool }

func (p *patient) DecodeValue(decode func(any) error) error {
	var list []bool
	if decode(&list) == nil && len(list) > 0 && list[0] {
		p.truth = true
	}
	return nil
}

func hooks(t *testing.T, c Codec) {
	var dynamic any
	c.roundTrip(t, celsius{21500}, &dynamic)
	same(t, "a hook says what is encoded", 21.5, dynamic)

	var temperatures map[string]*celsius
	c.roundTrip(t, map[string]celsius{"a": {1500}}, &temperatures)
	same(t, "a hook decodes what it encoded, wherever it stands", 1500, temperatures["a"].millis)

	var null struct{ C *celsius }
	c.roundTrip(t, map[string]any{"C": nil}, &null)
	same(t, "null makes a pointer nil, without asking the hook", (*celsius)(nil), null.C)

	c.roundTrip(t, []shape{{[]inner{{1, 2}}}}, &dynamic)
	same(t, "a hook on a pointer works for values", []any{value.Named{Name: "shape", Value: []any{
		map[string]any{"x": int64(1), "y": int64(2)},
	}}}, dynamic)
	c.roundTrip(t, []*shape{nil}, &dynamic)
	same(t, "a hook on a pointer is asked for nil too", []any{"no shape"}, dynamic)
	c.roundTrip(t, []*celsius{nil}, &dynamic)
	same(t, "a hook on a value is not asked for nil", []any{nil}, dynamic)

	var shapes []shape
	c.roundTrip(t, []any{&shape{[]inner{{1, 2}, {3, 4}}}, []inner{{5, 6}}}, &shapes)
	if len(shapes) != 2 || len(shapes[0].points) != 2 || shapes[0].points[1].X != 3 || shapes[1].points[0].Y != 6 {
		t.Errorf("a hook may try several forms of what is there: %+v", shapes)
	}

	data, err := c.Marshal([]any{value.Named{Name: "circle"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unmarshal(data, &shapes); !errors.Is(err, errNoShape) {
		t.Errorf("a hook's error can be found: %v", err)
	}
	wantError(t, "a hook's error has a path", c.Unmarshal(data, &shapes), "[0]", "circle")
	data, err = c.Marshal([]any{0.5, "x"})
	if err != nil {
		t.Fatal(err)
	}
	var list []celsius
	wantError(t, "a mismatch in a hook says where", c.Unmarshal(data, &list), "[1]", "want float64, got string")

	var rest struct {
		A lazy
		B int
	}
	c.roundTrip(t, map[string]any{"A": map[string]any{"x": []any{1, map[string]any{}}}, "B": 5}, &rest)
	if !rest.A.asked || rest.B != 5 {
		t.Errorf("a value that a hook does not look at is skipped: %+v", rest)
	}

	var after struct {
		A patient
		B int
	}
	c.roundTrip(t, map[string]any{"A": []any{true, "no truth value", []any{}}, "B": 5}, &after)
	if after.A.truth || after.B != 5 {
		t.Errorf("a value that a hook gives up in the middle of is skipped: %+v", after)
	}
	var patients map[string]patient
	c.roundTrip(t, struct{ A, B []bool }{[]bool{true}, []bool{false}}, &patients)
	if !patients["A"].truth || patients["B"].truth {
		t.Errorf("the value of a map's entry has nothing from the one before: %+v", patients)
	}

	var k keeper
	c.roundTrip(t, 1, &k)
	if err := k.decode(new(int)); err == nil {
		t.Error("decode does not work any more when DecodeValue has returned")
	}
}
