package bind_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// modelParam is a parameter in the model of binding: what callers know of it.
type modelParam struct {
	name     string
	typ      string // "int", "string", "*int", or "...int" for a tail
	optional bool
}

// modelArg is an argument: an int64, a string, nil, or a list of them.
type modelArg struct {
	name  string // "" for a positional one
	value any
}

// modelBind is binding as it is documented, written down without a thought of speed:
// what each parameter gets, or that the call is refused.
func modelBind(params []modelParam, all []modelArg) (got map[string]any, ok bool) {
	got = make(map[string]any)
	given := make(map[string]bool)
	byName := make(map[string]modelParam)
	for _, p := range params {
		byName[p.name] = p
	}
	position := 0
	for _, a := range all {
		name := a.name
		tail := false
		if name == "" {
			at := position
			position++
			if n := len(params); n > 0 && params[n-1].typ == "...int" && at >= n-1 {
				at, tail = n-1, true
			}
			if at >= len(params) {
				return nil, false // too many
			}
			name = params[at].name
		}
		p, known := byName[name]
		if !known || given[name] && !tail {
			return nil, false // unknown, or given twice
		}
		given[name] = true
		switch v := a.value.(type) {
		case int64:
			switch {
			case tail:
				list, _ := got[name].([]any)
				got[name] = append(list, v)
			case p.typ == "int" || p.typ == "*int":
				got[name] = v
			default:
				return nil, false
			}
		case string:
			if tail || p.typ != "string" {
				return nil, false
			}
			got[name] = v
		case nil:
			if tail || p.typ != "*int" && p.typ != "...int" {
				return nil, false
			}
		case []any:
			if tail || p.typ != "...int" {
				return nil, false
			}
			for _, e := range v {
				if _, isInt := e.(int64); !isInt {
					return nil, false
				}
			}
			got[name] = v
		}
	}
	for _, p := range params {
		if !given[p.name] && !p.optional {
			return nil, false // missing
		}
	}
	return got, true
}

// modelValue is what a parameter has got, as the model says it.
func modelValue(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return v.Elem().Int()
	case reflect.Slice:
		var list []any
		for i := range v.Len() {
			list = append(list, v.Index(i).Int())
		}
		if list == nil {
			return nil
		}
		return list
	case reflect.Int64:
		return v.Int()
	default:
		return v.String()
	}
}

var modelTypes = map[string]reflect.Type{
	"int": reflect.TypeFor[int64](), "string": reflect.TypeFor[string](),
	"*int": reflect.TypeFor[*int64](), "...int": reflect.TypeFor[[]int64](),
}

func randomParams(r *rand.Rand) []modelParam {
	var params []modelParam
	for i := range r.IntN(5) {
		p := modelParam{name: fmt.Sprint("p", i), typ: []string{"int", "string", "*int"}[r.IntN(3)]}
		p.optional = p.typ == "*int" || r.IntN(3) == 0
		params = append(params, p)
	}
	if r.IntN(3) == 0 {
		params = append(params, modelParam{"tail", "...int", true})
	}
	return params
}

func randomArg(r *rand.Rand) any {
	switch r.IntN(12) {
	case 0, 1, 2:
		return fmt.Sprint("s", r.IntN(5))
	case 3:
		return nil
	case 4:
		list := make([]any, r.IntN(3))
		for i := range list {
			list[i] = int64(1 + i)
		}
		return list
	}
	return int64(1 + r.IntN(5))
}

// fittingArg is mostly one that fits, so that many calls are legal.
func fittingArg(r *rand.Rand, p modelParam) any {
	if r.IntN(12) == 0 {
		return randomArg(r)
	}
	switch p.typ {
	case "string":
		return fmt.Sprint("s", 1+r.IntN(5))
	case "...int":
		return []any{int64(8), int64(9)}
	}
	return int64(1 + r.IntN(5))
}

// randomCall gives a number of arguments by position, and others by name: in any order, some
// of them missing, unknown or again.
func randomCall(r *rand.Rand, params []modelParam) []modelArg {
	var all []modelArg
	positional := r.IntN(len(params) + 2)
	for i := range positional {
		v := randomArg(r)
		if i < len(params) && params[i].typ != "...int" {
			v = fittingArg(r, params[i])
		}
		all = append(all, modelArg{"", v})
	}
	for _, i := range r.Perm(len(params)) {
		if chance := r.IntN(10); i >= positional && chance < 8 || chance == 9 {
			all = append(all, modelArg{params[i].name, fittingArg(r, params[i])})
		}
	}
	if r.IntN(15) == 0 {
		all = append(all, modelArg{"unknown", randomArg(r)})
	}
	return all
}

// Whatever a function takes, and however it is called, the arguments go where the model says,
// or the call is refused where the model says so.
func TestBindingIsAsDocumented(t *testing.T) {
	accepted := 0
	const calls = 6000
	for seed := range uint64(calls) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
		params := randomParams(r)
		all := randomCall(r, params)
		codec := []args.Codec{msgpack.Codec{}, json.Codec{}, carp.Codec{}}[seed%3]
		if checkModel(t, codec, params, all) {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("seed %d, %s: a function of %v called with %v", seed, codec.Name(), params, all)
		}
	}
	if accepted < calls/5 || accepted > calls*4/5 {
		t.Errorf("%d calls of %d are legal; the test has lost its point", accepted, calls)
	}
}

func checkModel(t *testing.T, codec args.Codec, params []modelParam, all []modelArg) (accepted bool) {
	t.Helper()
	sig := modelSignature(t, params)
	var positional []reflect.Value
	var named []args.Named
	for _, a := range all {
		if a.name == "" {
			positional = append(positional, reflect.ValueOf(a.value))
		} else {
			named = append(named, args.Named{Name: a.name, Value: reflect.ValueOf(a.value)})
		}
	}
	want, legal := modelBind(params, all)
	body, err := codec.AppendArgs(nil, positional, named)
	if err != nil {
		t.Errorf("the arguments can't be encoded: %v", err)
		return false
	}
	decoded, err := sig.DecodeArgs(codec, body)
	if (err == nil) != legal {
		t.Errorf("the error is %v; by the model it is legal: %v", err, legal)
	}
	if err != nil || !legal {
		return false
	}
	for i, v := range decoded.Append(nil) {
		got, wanted := modelValue(v), want[params[i].name]
		if list, isList := wanted.([]any); wanted == nil || isList && len(list) == 0 {
			wanted = zeroOf(params[i].typ)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-model +got):\n%s", params[i].name, diff)
		}
	}
	return true
}

func zeroOf(typ string) any { return modelValue(reflect.Zero(modelTypes[typ])) }

func modelSignature(t *testing.T, params []modelParam) *bind.Signature {
	t.Helper()
	var in []reflect.Type
	var names []string
	variadic := false
	for _, p := range params {
		in = append(in, modelTypes[p.typ])
		name := p.name
		variadic = p.typ == "...int"
		if p.optional && p.typ != "*int" && !variadic {
			name += "?"
		}
		names = append(names, name)
	}
	sig, err := bind.Exported(reflect.FuncOf(in, nil, variadic), names...)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
