package engine

import "fmt"

// Checker checks the shape of values, for one goroutine at a time.
type Checker struct {
	r    Reader
	max  int // how deep lists, maps and named values may be nested
	keys keySet
	tokens

	argMap, argList Frame // of a body that is cut up: it is no level of any value
}

// Check reads one value to its end and reports whether its shape is sound: nested
// within the limit, only scalar keys, no key twice, and whatever the reader itself
// refuses.
func (c *Checker) Check(r Reader) error {
	c.r = r
	return c.value()
}

// reset forgets the input.
func (c *Checker) reset() {
	c.r = nil
	c.keys.reset()
	c.tokens.reset()
}

func (c *Checker) value() error {
	if err := c.r.Next(&c.tok); err != nil {
		return err
	}
	if c.tok.Kind < Named {
		return nil
	}
	if len(c.frames) == c.max {
		return errTooDeep()
	}
	t := c.open()
	var err error
	switch t.Kind {
	case List:
		err = c.list(t)
	case Map:
		err = c.entries(t)
	default:
		err = c.named(t)
	}
	c.close()
	return err
}

func (c *Checker) list(t *Frame) error {
	for i := 0; ; i++ {
		more, err := c.r.More(t)
		if err != nil || !more {
			return err
		}
		if err := c.value(); err != nil {
			return Within(Index(i), err)
		}
	}
}

func (c *Checker) entries(t *Frame) error {
	set := c.keys.open()
	for {
		more, err := c.r.More(t)
		if err != nil {
			return err
		}
		if !more {
			c.keys.close(set)
			return nil
		}
		if err := c.entry(t, &set); err != nil {
			return err
		}
	}
}

func (c *Checker) entry(t *Frame, set *set) error {
	start := c.r.Pos()
	if err := c.r.Key(t, &c.tok); err != nil {
		return err
	}
	if !c.tok.Kind.Scalar() {
		return mismatch("a scalar as a map key", &c.tok)
	}
	if c.tok.Kind == Float && c.tok.Float64() != c.tok.Float64() {
		return cannot("NaN as a map key, which nothing can look up")
	}
	if !c.keys.add(set, &c.tok) {
		return Within(keyStep(&c.tok), cannot("a key that the map already has"))
	}
	if err := c.r.Value(t); err != nil {
		return err
	}
	if err := c.value(); err != nil {
		return Within(keyAt(c.r, start, t), err)
	}
	return nil
}

func (c *Checker) named(t *Frame) error {
	if len(c.tok.Data) == 0 {
		return cannot("a named type without a name")
	}
	start := c.r.Pos()
	if err := c.r.Next(&c.tok); err != nil {
		return err
	}
	if c.tok.Kind == Named {
		return cannot("a named type within a named type")
	}
	c.r.Seek(start)
	if err := c.value(); err != nil {
		return err
	}
	return c.r.Close(t)
}

// keyAt is the step of a path through the entry whose key is at pos, read again
// because nobody keeps keys only for the case of an error.
func keyAt(r Reader, pos Pos, m *Frame) string {
	r.Seek(pos)
	var k Token
	if r.Key(m, &k) != nil {
		return ""
	}
	return keyStep(&k)
}

// keyStep is the step of a path that goes through map key k.
func keyStep(k *Token) string {
	if k.Kind == String {
		return Key(string(k.Data))
	}
	return fmt.Sprintf("[%s]", k.describe())
}
