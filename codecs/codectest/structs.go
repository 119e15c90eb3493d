package codectest

import (
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

type (
	inner struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	// Pointed is exported so that it can be embedded by pointer.
	Pointed struct{ P int }
	// Stamp is embedded, but has a form of its own.
	Stamp struct{ time.Time }

	outer struct {
		inner
		*Pointed
		Y       string `json:"y"` // hides inner.Y
		Both    int    `json:"j" msgpack:"m"`
		Half    int    `json:"j2,omitempty" msgpack:",omitempty"`
		Skipped int    `json:"-"`
		Skip2   int    `json:"there" msgpack:"-"`
		Empty   []int  `json:"empty,omitempty"`
		Zero    Stamp  `json:"zero,omitzero"`
		private int
		Dash    int `json:"-,"`
	}
)

func structs(t *testing.T, c Codec) {
	in := outer{inner: inner{1, 2}, Y: "y", Both: 3, Skipped: 4, Skip2: 5, Empty: []int{}, private: 6, Dash: 7}
	var asMap map[string]any
	c.roundTrip(t, in, &asMap)
	same(t, "fields have their tags' names, msgpack first; embedded ones are promoted; - and unexported ones are left out", map[string]any{
		"x": int64(1), "y": "y", "m": int64(3), "-": int64(7),
	}, asMap)

	in.Pointed, in.Half, in.Empty = &Pointed{8}, 9, []int{1}
	in.Zero = Stamp{instant}
	c.roundTrip(t, in, &asMap)
	same(t, "what may be left out is there when it is not empty, and a nil embedded pointer has fields when it is not nil", map[string]any{
		"x": int64(1), "y": "y", "m": int64(3), "-": int64(7),
		"P": int64(8), "j2": int64(9), "empty": []any{int64(1)}, "zero": instant.Format(time.RFC3339Nano),
	}, asMap)

	var out outer
	c.roundTrip(t, in, &out)
	in.inner.Y, in.Skipped, in.Skip2, in.private = 0, 0, 0, 0
	if out.Pointed == nil || *out.Pointed != *in.Pointed || !out.Zero.Equal(in.Zero.Time) {
		t.Errorf("an embedded struct is made when one of its fields comes\ngot %+v", out)
	}
	out.Pointed, out.Zero = in.Pointed, in.Zero
	if out.X != in.X || out.Y != in.Y || out.Both != in.Both || out.Half != in.Half || out.Dash != in.Dash || out.inner.Y != 0 {
		t.Errorf("a struct comes back as it was\nwant %+v\ngot  %+v", in, out)
	}

	var order struct{ A, B, C int }
	c.roundTrip(t, map[string]any{"C": 3, "A": 1}, &order)
	same(t, "fields may come in any order", struct{ A, B, C int }{A: 1, C: 3}, order)

	type twice struct {
		inner
		Other struct{ X int }
		Again int `json:"x"`
	}
	var shallow map[string]any
	c.roundTrip(t, twice{inner: inner{X: 1}, Again: 2}, &shallow)
	same(t, "of two fields with a name, the less deeply embedded one has it", int64(2), shallow["x"])

	data, err := c.Marshal(map[string]any{"A": 1, "D": 2})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "a key that no field has is refused, since it would be lost", c.Unmarshal(data, &order), ".D", "no such field")
	data, err = c.Marshal(map[any]any{"A": 1, 2: 2})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "a key that is no text is no field", c.Unmarshal(data, &order), "", "name of a field")

	var many manyFields
	c.roundTrip(t, manyFields{A64: 1, A0: 2}, &many)
	same(t, "a struct may have more than 64 fields", manyFields{A64: 1, A0: 2}, many)

	var named struct{ V value.Named }
	c.roundTrip(t, struct{ V value.Named }{value.Named{Name: "n", Value: inner{1, 2}}}, &named)
	same(t, "what a named value holds is dynamic", value.Named{Name: "n", Value: map[string]any{"x": int64(1), "y": int64(2)}}, named.V)
}

// manyFields needs more than a machine word for the set of its fields.
type manyFields struct {
	A0, A1, A2, A3, A4, A5, A6, A7, A8, A9           int
	A10, A11, A12, A13, A14, A15, A16, A17, A18, A19 int
	A20, A21, A22, A23, A24, A25, A26, A27, A28, A29 int
	A30, A31, A32, A33, A34, A35, A36, A37, A38, A39 int
	A40, A41, A42, A43, A44, A45, A46, A47, A48, A49 int
	A50, A51, A52, A53, A54, A55, A56, A57, A58, A59 int
	A60, A61, A62, A63, A64, A65, A66, A67, A68, A69 int
}
