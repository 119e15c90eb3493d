package bind

import (
	"errors"
	"fmt"
	"strings"
)

// Fit says why a function whose canonical text is provided can't be called as one
// whose text is required, or nil. An empty text fits any. What only values decide
// is left to calls: integers of any size fit each other, as do a pointer and what
// it points to, and any fits everything.
func Fit(required, provided string) error {
	if required == "" || provided == "" || required == provided {
		return nil
	}
	want, err := parseShape(required)
	if err != nil {
		return err
	}
	have, err := parseShape(provided)
	if err != nil {
		return err
	}
	return want.fits(have)
}

// ResultClasses are the classes of the objects that a function returns whose canonical
// text is provided, one for each result; "" for what is no object, or of a class that
// the text doesn't tell.
func ResultClasses(provided string) []string {
	s, err := parseShape(provided)
	if provided == "" || err != nil {
		return nil
	}
	classes := make([]string, len(s.results))
	for i, r := range s.results {
		classes[i], _ = strings.CutPrefix(r.typ.kind, "class ")
		if classes[i] == r.typ.kind {
			classes[i] = ""
		}
	}
	return classes
}

// shape is a parsed canonical text.
type shape struct {
	params, results []shapeParam
}

type shapeParam struct {
	typ                        *shapeType
	optional, variadic, stream bool
}

// shapeType is a type; what kind it is, and what it consists of.
type shapeType struct {
	kind  string // one of the kinds below, or the text
	names []string
	elems []*shapeType
	fn    *shape
}

// The kinds of types that consist of others. No text is one of them: what they begin
// with is in no word.
const (
	kindPointer = "*"
	kindList    = "["
	kindMap     = "map["
	kindStruct  = "{"
	kindFunc    = "("
)

func (s *shape) fits(have *shape) error {
	if len(s.params) > len(have.params) && !have.variadic() {
		return fmt.Errorf("%d parameters, it takes %d", len(s.params), len(have.params))
	}
	for i, p := range s.params {
		h := have.params[min(i, len(have.params)-1)]
		if p.variadic && !h.variadic {
			return fmt.Errorf("parameter %d is variadic, there it isn't", i+1)
		}
		if p.stream != h.stream {
			return fmt.Errorf("parameter %d is a stream on one side only", i+1)
		}
		if !p.typ.fits(h.typ) {
			return fmt.Errorf("parameter %d is another type", i+1)
		}
	}
	for i := len(s.params); i < len(have.params); i++ {
		if h := have.params[i]; !h.optional && !h.variadic && !h.typ.omissible() {
			return fmt.Errorf("%d parameters, it takes %d", len(s.params), len(have.params))
		}
	}
	return s.fitResults(have)
}

// fitResults: who wants no result drops them.
func (s *shape) fitResults(have *shape) error {
	switch {
	case len(s.results) == 0 && (len(have.results) == 0 || !have.results[0].stream):
		return nil
	case len(s.results) == 1 && !s.results[0].stream && s.results[0].typ.kind == "any" && len(have.results) != 1:
		return nil // a list of them
	case len(s.results) != len(have.results):
		return fmt.Errorf("%d results, it returns %d", len(s.results), len(have.results))
	}
	for i, r := range s.results {
		if r.stream != have.results[i].stream {
			return fmt.Errorf("result %d is a stream on one side only", i+1)
		}
		if !r.typ.fits(have.results[i].typ) {
			return fmt.Errorf("result %d is another type", i+1)
		}
	}
	return nil
}

func (s *shape) variadic() bool {
	return len(s.params) > 0 && s.params[len(s.params)-1].variadic
}

func (t *shapeType) fits(have *shapeType) bool {
	if t.kind == kindPointer {
		return t.elems[0].fits(have)
	}
	if have.kind == kindPointer {
		return t.fits(have.elems[0])
	}
	switch {
	case t.kind == "any" || have.kind == "any":
		return true
	case t.kind == "ref" && isReference(have), have.kind == "ref" && isReference(t):
		return true
	case strings.HasPrefix(t.kind, "^") || strings.HasPrefix(have.kind, "^"):
		return true // as deep as types are compared
	case isInteger(t.kind) && isInteger(have.kind):
		return true
	case t.kind == kindStruct && have.kind == kindMap:
		return true // a map that is a struct on the other side; its names are looked at in each call
	case t.kind == kindMap && have.kind == kindStruct:
		return true
	case t.kind != have.kind || len(t.elems) != len(have.elems):
		return false
	case t.kind == kindFunc:
		return have.fn.fits(t.fn) == nil // called the other way
	}
	for i, e := range t.elems {
		h := have.elems[i]
		if t.kind == kindStruct {
			if h = have.field(t.names[i]); h == nil {
				return false
			}
		}
		if !e.fits(h) {
			return false
		}
	}
	return true
}

// omissible tells that null is a value of the type, and a missing argument is null.
func (t *shapeType) omissible() bool {
	return t.kind == kindPointer || t.kind == "ref" || isReference(t)
}

func isReference(t *shapeType) bool { return t.kind == kindFunc || strings.HasPrefix(t.kind, "class ") }

func (t *shapeType) field(name string) *shapeType {
	for i, n := range t.names {
		if n == name {
			return t.elems[i]
		}
	}
	return nil
}

func isInteger(kind string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(kind, "u"), "int")
	return rest == "8" || rest == "16" || rest == "32" || rest == "64"
}

// maxNesting bounds the types in a text that a peer has sent.
const maxNesting = 64

// shapeParser reads a canonical text.
type shapeParser struct {
	text  string
	depth int
}

var errShape = errors.New("a text that is no signature")

func parseShape(text string) (*shape, error) {
	if len(text) > MaxCanonical {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", errShape, len(text), MaxCanonical)
	}
	p := &shapeParser{text: text}
	s, err := p.signature()
	if err == nil && p.text != "" {
		err = errShape
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q", err, text)
	}
	return s, nil
}

func (p *shapeParser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.text, prefix)
	p.text = rest
	return ok
}

func (p *shapeParser) signature() (*shape, error) {
	s := new(shape)
	if !p.take("(") {
		return nil, errShape
	}
	for !p.take(")") {
		if len(s.params) > 0 && !p.take(", ") {
			return nil, errShape
		}
		a, err := p.param()
		if err != nil {
			return nil, err
		}
		s.params = append(s.params, a)
	}
	return s, p.results(s)
}

func (p *shapeParser) results(s *shape) error {
	several := p.take(" (")
	if !several && !p.take(" ") {
		return nil
	}
	for {
		a, err := p.param()
		if err != nil {
			return err
		}
		s.results = append(s.results, a)
		if !several || p.take(")") {
			return nil
		}
		if !p.take(", ") {
			return errShape
		}
	}
}

func (p *shapeParser) param() (shapeParam, error) {
	a := shapeParam{stream: p.take("stream "), variadic: p.take("...")}
	var err error
	a.typ, err = p.typ()
	a.optional = p.take("?")
	return a, err
}

func (p *shapeParser) typ() (*shapeType, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errShape
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("*"):
		return p.of(kindPointer, 1)
	case p.take("[]"):
		return p.of(kindList, 1)
	case p.take("map["):
		return p.of(kindMap, 2)
	case p.take("{"):
		return p.fields()
	case p.take("func"):
		fn, err := p.signature()
		return &shapeType{kind: kindFunc, fn: fn}, err
	}
	for _, prefix := range []string{"message ", "class "} {
		if p.take(prefix) {
			return &shapeType{kind: prefix + p.word()}, nil
		}
	}
	word := p.word()
	if word == "" {
		return nil, errShape
	}
	return &shapeType{kind: word}, nil
}

// of reads n types.
func (p *shapeParser) of(kind string, n int) (*shapeType, error) {
	t := &shapeType{kind: kind}
	for i := range n {
		if i > 0 && !p.take("]") {
			return nil, errShape
		}
		e, err := p.typ()
		if err != nil {
			return nil, err
		}
		t.elems = append(t.elems, e)
	}
	return t, nil
}

func (p *shapeParser) fields() (*shapeType, error) {
	t := &shapeType{kind: kindStruct}
	for !p.take("}") {
		if len(t.elems) > 0 && !p.take(", ") {
			return nil, errShape
		}
		name, rest, ok := strings.Cut(p.text, " ")
		if !ok {
			return nil, errShape
		}
		p.text = rest
		e, err := p.typ()
		if err != nil {
			return nil, err
		}
		t.names, t.elems = append(t.names, name), append(t.elems, e)
	}
	return t, nil
}

// word reads up to what can't be in a name.
func (p *shapeParser) word() string {
	i := strings.IndexAny(p.text, " ,(){}[]?*")
	if i < 0 {
		i = len(p.text)
	}
	word := p.text[:i]
	p.text = p.text[i:]
	return word
}
