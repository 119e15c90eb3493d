package bind

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

func (r *reader) setParams(in []reflect.Type, names []string) error {
	s := r.s
	if len(in) == 1 && isFieldsStruct(in[0]) && !s.Variadic {
		if len(names) > 0 {
			return fmt.Errorf("names are given for the parameters, but the fields of %v name them", in[0])
		}
		return r.setFields(in[0])
	}
	if len(names) > 0 && len(names) != len(in) {
		return fmt.Errorf("%d parameter names are given for %d parameters", len(names), len(in))
	}
	var stored []reflect.Type
	for i, t := range in {
		p := Param{Name: "arg" + strconv.Itoa(i), Type: t, Go: t, index: []int{i}}
		if len(names) > 0 {
			p.Name, p.Optional = strings.CutSuffix(names[i], "?")
		}
		last := i == len(in)-1
		if err := r.setParam(&p, last); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		s.Params = append(s.Params, p)
		if p.Stream == NoStream {
			stored = append(stored, p.Type)
		}
	}
	s.storeT = storeType(stored)
	return nil
}

// setParam finds out how a parameter travels.
func (r *reader) setParam(p *Param, last bool) error {
	variadic := r.s.Variadic && last
	if variadic {
		p.Optional = true
		return r.checkParam(p.Type)
	}
	if kind, item := streamOf(p.Type); kind != NoStream {
		if kind == ChanStream {
			return fmt.Errorf("%v has no form on the wire; a stream of the caller's is an iter.Seq", p.Type)
		}
		if !last {
			return fmt.Errorf("%v is a stream, which only the last parameter can be", p.Type)
		}
		if r.nested {
			return errors.New("a callback can't take a stream")
		}
		r.s.Plain = false
		p.Stream, p.Type = kind, item
		return r.checkParam(item)
	}
	if p.Type.Kind() == reflect.Func && !hasOwnForm(p.Type) {
		return r.setCallback(p)
	}
	if ref := r.ref(p.Type); ref != "" {
		r.s.Plain = false
		p.Ref, p.Type, p.Optional = ref, RefType, true
		return nil
	}
	if p.Type.Kind() == reflect.Pointer {
		p.Optional = true
	}
	return r.checkParam(p.Type)
}

func (r *reader) checkParam(t reflect.Type) error {
	c := typeCheck{refs: r.refs, seen: make(map[reflect.Type]bool)}
	err := c.check(t)
	r.s.openParams = r.s.openParams || c.open
	return err
}

// setCallback reads the type of a function that the caller passes: what a function
// exported here takes, it calls, and what is passed from here is called by the peer.
func (r *reader) setCallback(p *Param) error {
	if r.nested {
		return errors.New("a callback can't take a callback")
	}
	sub := reader{refs: r.refs, exported: !r.exported, nested: true}
	s, err := sub.parse(p.Type, nil)
	if err == nil && !sub.exported && !s.Err {
		err = errors.New("its last result is not an error; a call of it can always fail")
	}
	if err == nil && s.CallOptions {
		err = errors.New("it takes ...grpc.CallOption")
	}
	if err == nil && s.Stream != NoStream {
		err = errors.New("it returns a stream")
	}
	if err != nil {
		return fmt.Errorf("the callback %v: %w", p.Type, err)
	}
	r.s.Plain = false
	p.Callback, p.Ref, p.Type, p.Optional = s, "func"+s.canonical, RefType, true
	return nil
}

func (r *reader) ref(t reflect.Type) string {
	if r.refs == nil {
		return ""
	}
	return r.refs(t)
}

func (r *reader) setResults(t reflect.Type) error {
	s := r.s
	n := t.NumOut()
	if n > 0 && t.Out(n-1) == errorType {
		s.Err = true
		n--
	}
	for i := range n {
		res := Result{Type: t.Out(i), Go: t.Out(i)}
		if kind, item := streamOf(res.Go); kind != NoStream {
			if n != 1 {
				return fmt.Errorf("result %d: %v is a stream, which only the only result can be", i, res.Go)
			}
			s.Stream, s.Plain, res.Type = kind, false, item
		}
		if ref := r.ref(res.Type); ref != "" && s.Stream == NoStream {
			s.Plain = false
			res.Ref, res.Type = ref, RefType
		}
		c := typeCheck{refs: r.refs, seen: make(map[reflect.Type]bool)}
		if err := c.check(res.Type); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
		s.openResults = s.openResults || c.open
		s.Results = append(s.Results, res)
	}
	return nil
}

// streamOf says whether a type is that of a stream, and of what: func(yield
// func(T) bool), func(yield func(T, error) bool), or a channel to receive from.
func streamOf(t reflect.Type) (Stream, reflect.Type) {
	if t.Kind() == reflect.Chan && t.ChanDir() == reflect.RecvDir {
		return ChanStream, t.Elem()
	}
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return NoStream, nil
	}
	yield := t.In(0)
	if yield.Kind() != reflect.Func || yield.NumOut() != 1 || yield.Out(0) != boolType || yield.IsVariadic() {
		return NoStream, nil
	}
	switch {
	case yield.NumIn() == 1:
		return SeqStream, yield.In(0)
	case yield.NumIn() == 2 && yield.In(1) == errorType:
		return ErrStream, yield.In(0)
	}
	return NoStream, nil
}

var boolType = reflect.TypeFor[bool]()

// setFields makes the exported fields of a struct the parameters.
func (r *reader) setFields(t reflect.Type) error {
	s := r.s
	s.Struct = true
	s.storeT = t
	for i := range t.NumField() {
		f := t.Field(i)
		name, skip := FieldName(f)
		if f.Type == fieldsType || skip {
			continue
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct && name == f.Name {
			return fmt.Errorf("%v embeds %v; a struct of parameters lists its fields itself", t, f.Type)
		}
		if err := r.checkParam(f.Type); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
		optional := f.Type.Kind() == reflect.Pointer || f.Tag.Get("carp") == "optional"
		s.Params = append(s.Params, Param{Name: name, Type: f.Type, Go: f.Type, Optional: optional, index: f.Index})
	}
	return nil
}

func isFieldsStruct(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type == fieldsType {
			return true
		}
	}
	return false
}

// FieldName is the name of a struct's field on the wire: its msgpack tag, else
// its json tag, else its name. Skip is true for fields that aren't carried.
func FieldName(f reflect.StructField) (name string, skip bool) {
	if !f.IsExported() {
		return "", true
	}
	for _, key := range [...]string{"msgpack", "json"} {
		name, _, _ := strings.Cut(f.Tag.Get(key), ",")
		if name == "-" {
			return "", true
		}
		if name != "" {
			return name, false
		}
	}
	return f.Name, false
}

// storeType is a struct with one field for each argument, so that a call
// allocates its arguments at once.
func storeType(in []reflect.Type) reflect.Type {
	fields := make([]reflect.StructField, len(in))
	for i, t := range in {
		fields[i] = reflect.StructField{Name: "A" + strconv.Itoa(i), Type: t}
	}
	return reflect.StructOf(fields)
}
