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
	var t Token
	if err := r.Next(&t); err != nil {
		return args.Arguments{}, err
	}
	switch t.Kind {
	case List:
		positional, err := c.splitList(r, body, &t.Frame)
		return args.Arguments{Positional: positional}, err
	case Map:
		return c.splitMap(r, body, &t.Frame)
	default:
		return args.Arguments{}, mismatch("a list or map of arguments", &t)
	}
}

// splitList cuts up the list that began with t.
func (c *Checker) splitList(r Reader, body []byte, t *Frame) ([]args.Raw, error) {
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

func (c *Checker) splitMap(r Reader, body []byte, t *Frame) (args.Arguments, error) {
	var all args.Arguments
	var names keySet
	set := names.open()
	seen := false
	var k Token
	for {
		more, err := r.More(t)
		if err != nil || !more {
			return all, err
		}
		if err := r.Key(t, &k); err != nil {
			return all, err
		}
		if k.Kind != String {
			return all, mismatch("the name of a parameter", &k)
		}
		name := string(k.Data)
		if !names.add(&set, &k) {
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
	var t Token
	if err := r.Next(&t); err != nil {
		return nil, err
	}
	if t.Kind != List {
		return nil, Within(Key(PositionalKey), mismatch("a list of arguments", &t))
	}
	return c.splitList(r, body, &t.Frame)
}

// SplitResults checks and cuts up the reply body that r reads into n results.
func (c *Checker) SplitResults(r Reader, body []byte, n int) ([]args.Raw, error) {
	switch n {
	case 0:
		var t Token
		if err := r.Next(&t); err != nil {
			return nil, err
		}
		if t.Kind != Null {
			return nil, mismatch("null, the function having no result", &t)
		}
		return nil, nil
	case 1:
		raw, err := c.cut(r, body)
		return []args.Raw{raw}, err
	}
	var t Token
	if err := r.Next(&t); err != nil {
		return nil, err
	}
	if t.Kind != List {
		return nil, mismatchCount(n, t.describe())
	}
	list, err := c.splitList(r, body, &t.Frame)
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
