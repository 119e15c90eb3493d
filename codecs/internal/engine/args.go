package engine

import (
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/args"
)

// PositionalKey is the entry of an argument map that holds the positional
// arguments when there are named ones too. No parameter can have this name.
const PositionalKey = "*"

// SplitArgs checks and cuts up the request body that r reads, in formats whose
// positions are offsets into the body: a list of arguments, a map of arguments
// by name, or such a map with an entry [PositionalKey].
func (c *Checker) SplitArgs(r Reader, body []byte) (args.Arguments, error) {
	if err := r.Next(&c.tok); err != nil {
		return args.Arguments{}, err
	}
	switch c.tok.Kind {
	case List:
		positional, err := c.splitList(r, body)
		return args.Arguments{Positional: positional}, err
	case Map:
		return c.splitMap(r, body)
	default:
		return args.Arguments{}, mismatch("a list or map of arguments", &c.tok)
	}
}

// splitList cuts up the list whose token has been read.
func (c *Checker) splitList(r Reader, body []byte) ([]args.Raw, error) {
	c.argList = c.tok.Frame
	t := &c.argList
	list := make([]args.Raw, 0, min(max(t.Len, 2), args.Max))
	for {
		more, err := r.More(t)
		if err != nil {
			return nil, err
		}
		if !more {
			return list, nil
		}
		if len(list) == args.Max {
			return nil, TooMany()
		}
		raw, err := c.cut(r, body)
		if err != nil {
			return nil, Within(Index(len(list)), err)
		}
		list = append(list, raw)
	}
}

// TooMany is the error for more than [args.Max] arguments.
func TooMany() error {
	return cannot("more than %d arguments; a list is only one", args.Max)
}

// cut checks the next value and returns its bytes.
func (c *Checker) cut(r Reader, body []byte) (args.Raw, error) {
	start := r.Pos().At
	if err := c.Check(r); err != nil {
		return args.Raw{}, err
	}
	end := r.Pos().At
	return args.Raw{Data: body[start:end:end]}, nil
}

// splitMap cuts up the map whose token has been read.
func (c *Checker) splitMap(r Reader, body []byte) (args.Arguments, error) {
	c.argMap = c.tok.Frame
	t := &c.argMap
	var all args.Arguments
	names := c.keys.open()
	seen := false
	for {
		more, err := r.More(t)
		if err != nil || !more {
			return all, err
		}
		if err := r.Key(t, &c.tok); err != nil {
			return all, err
		}
		if c.tok.Kind != String {
			return all, mismatch("the name of a parameter", &c.tok)
		}
		name := string(c.tok.Data)
		if !c.keys.add(&names, &c.tok) {
			return all, Within(Key(name), cannot("an argument that is given twice"))
		}
		if err := r.Value(t); err != nil {
			return all, err
		}
		if name == PositionalKey && !seen {
			seen = true
			if all.Positional, err = c.splitPositional(r, body); err != nil {
				return all, err
			}
			continue
		}
		if len(all.Named) == args.Max {
			return all, TooMany()
		}
		raw, err := c.cut(r, body)
		if err != nil {
			return all, Within(Key(name), err)
		}
		all.Named = append(all.Named, args.NamedRaw{Name: name, Raw: raw})
	}
}

func (c *Checker) splitPositional(r Reader, body []byte) ([]args.Raw, error) {
	if err := r.Next(&c.tok); err != nil {
		return nil, err
	}
	if c.tok.Kind != List {
		return nil, Within(Key(PositionalKey), mismatch("a list of arguments", &c.tok))
	}
	return c.splitList(r, body)
}

// SplitResults checks and cuts up the reply body that r reads into n results.
func (c *Checker) SplitResults(r Reader, body []byte, n int) ([]args.Raw, error) {
	if n == 1 {
		raw, err := c.cut(r, body)
		return []args.Raw{raw}, err
	}
	if err := r.Next(&c.tok); err != nil {
		return nil, err
	}
	switch {
	case n == 0 && c.tok.Kind == Null:
		return nil, nil
	case n == 0:
		return nil, mismatch("null, the function having no result", &c.tok)
	case c.tok.Kind != List:
		return nil, mismatchCount(n, c.tok.describe())
	}
	list, err := c.splitList(r, body)
	if err == nil && len(list) != n {
		return nil, mismatchCount(n, plural(len(list), "result"))
	}
	return list, err
}

// Args encodes arguments in the form that [Checker.SplitArgs] reads.
func (e *Encoder) Args(positional []reflect.Value, named []args.Named) error {
	if len(named) == 0 {
		return e.values(positional)
	}
	n := len(named)
	if len(positional) > 0 {
		n++
	}
	e.W.MapBegin(n, true)
	i := 0
	if len(positional) > 0 {
		if err := e.textKey(0, PositionalKey); err != nil {
			return err
		}
		if err := e.values(positional); err != nil {
			return err
		}
		i++
	}
	for _, arg := range named {
		if arg.Name == PositionalKey {
			return cannot("an argument named %q, which is no name", PositionalKey)
		}
		if err := e.textKey(i, arg.Name); err != nil {
			return err
		}
		if err := e.Encode(arg.Value); err != nil {
			return Within(Key(arg.Name), err)
		}
		i++
	}
	e.W.MapEnd()
	return nil
}

// Results encodes results in the form that [Checker.SplitResults] reads.
func (e *Encoder) Results(results []reflect.Value) error {
	switch len(results) {
	case 0:
		e.W.Null()
		return nil
	case 1:
		return e.Encode(results[0])
	default:
		return e.values(results)
	}
}

// values encodes a list of separate values. The list is part of the call's form
// and does not count as a level of any of them.
func (e *Encoder) values(list []reflect.Value) error {
	e.W.ListBegin(len(list))
	for i, v := range list {
		e.W.ListItem(i)
		if err := e.Encode(v); err != nil {
			return Within(Index(i), err)
		}
	}
	e.W.ListEnd()
	return nil
}
