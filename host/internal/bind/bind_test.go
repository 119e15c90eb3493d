package bind_test

import (
	"context"
	"errors"
	"math/rand"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

type inner struct {
	N  int16
	S  string
	F  []float32
	M  map[string]int64
	P  *uint8
	By []byte
}

type fields struct {
	bind.Fields
	A int64  `json:"a"`
	B string `json:"b" carp:"optional"`
	C *bool  `json:"c"`
}

// functions whose arguments and results every codec can carry.
var functions = map[string]any{
	"scalars":    func(bool, int8, int64, uint8, uint64, float32, float64, string) {},
	"bytes":      func([]byte, []byte) {},
	"composite":  func(context.Context, inner, *inner, []inner, map[string]inner) error { return nil },
	"variadic":   func(string, ...int32) int { return 0 },
	"named kind": func(time.Duration) {},
	"results":    func() (int, string, []inner, error) { return 0, "", nil, nil },
	"one result": func() (map[int32]string, error) { return nil, nil },
	"fields":     func(fields) {},
}

// codecsFor are the codecs that carry the arguments of a function.
func codecsFor(t testing.TB, sig *bind.Signature) []args.Codec {
	f := synth.Function{Name: "f", Results: sig.ResultTypes()}
	for _, p := range sig.Params {
		f.Params = append(f.Params, synth.Param{Name: p.Name, Type: p.Type})
	}
	s, err := synth.New("s", []synth.Function{f})
	if err != nil {
		t.Fatal(err)
	}
	return []args.Codec{msgpack.Codec{}, json.Codec{}, carp.Codec{}, s.Method("f")}
}

// nilIsEmpty: protobuf doesn't tell an empty list from none.
var nilIsEmpty = cmpopts.EquateEmpty()

// Whatever the arguments are, they arrive as they were sent, by position and by
// name.
func TestArgsRoundTrip(t *testing.T) {
	for name, fn := range functions {
		sig := exported(t, fn)
		for _, codec := range codecsFor(t, sig) {
			t.Run(name+"/"+codec.Name(), func(t *testing.T) {
				for seed := range uint64(20) {
					sent := randomArgs(t, seed, fn, sig)
					positional, err := sig.EncodeArgs(nil, codec, sent)
					if err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					check(t, seed, sig, codec, positional, sent)
					check(t, seed, sig, codec, encodeNamed(t, codec, sig, sent), sent)
				}
			})
		}
	}
}

func exported(t testing.TB, fn any) *bind.Signature {
	t.Helper()
	sig, err := bind.Exported(reflect.TypeOf(fn))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// randomArgs are arguments of fn, without a context.
func randomArgs(t *testing.T, seed uint64, fn any, sig *bind.Signature) []reflect.Value {
	ft := reflect.TypeOf(fn)
	var values []reflect.Value
	for i := range ft.NumIn() {
		if i == 0 && sig.Context {
			continue
		}
		values = append(values, randomValue(t, seed*100+uint64(i), ft.In(i)))
	}
	return values
}

func randomValue(t *testing.T, seed uint64, typ reflect.Type) reflect.Value {
	if typ == reflect.TypeFor[fields]() {
		f := fields{A: int64(seed), B: strconv.FormatUint(seed, 36)}
		if seed%2 == 0 {
			yes := seed%4 == 0
			f.C = &yes
		}
		return reflect.ValueOf(f)
	}
	v, ok := quick.Value(typ, rand.New(rand.NewSource(int64(seed))))
	if !ok {
		t.Fatalf("no random %v", typ)
	}
	return v
}

func encodeNamed(t *testing.T, codec args.Codec, sig *bind.Signature, values []reflect.Value) []byte {
	var named []args.Named
	for i, p := range sig.Params {
		v := values[0]
		if sig.Struct {
			v = reflect.Indirect(v).FieldByName(strings.ToUpper(p.Name))
		} else {
			v = values[i]
		}
		named = append(named, args.Named{Name: p.Name, Value: v})
	}
	body, err := codec.AppendArgs(nil, nil, named)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func check(t *testing.T, seed uint64, sig *bind.Signature, codec args.Codec, body []byte, sent []reflect.Value) {
	t.Helper()
	decoded, err := sig.DecodeArgs(codec, body)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	var got []any
	for _, v := range decoded.Append(decoded.Room()) {
		got = append(got, v.Interface()) // as the function gets it
	}
	decoded.Free() // what the function has kept stays
	for i := range got {
		if diff := cmp.Diff(sent[i].Interface(), got[i], nilIsEmpty, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("seed %d, argument %d (-sent +got):\n%s", seed, i, diff)
		}
	}
}

// What a call leaves out is zero, whatever the call before it had there, and also if
// that was refused half-way.
func TestArgsAgain(t *testing.T) {
	sig := exported(t, func(fields) {})
	codec := msgpack.Codec{}
	decode := func(named ...args.Named) (*bind.Args, error) {
		t.Helper()
		body, err := codec.AppendArgs(nil, nil, named)
		if err != nil {
			t.Fatal(err)
		}
		return sig.DecodeArgs(codec, body)
	}
	arg := func(name string, v any) args.Named { return args.Named{Name: name, Value: reflect.ValueOf(v)} }
	for range 100 { // a pool may lose what it gets
		full, err := decode(arg("a", 1), arg("b", "text"), arg("c", true))
		if err != nil {
			t.Fatal(err)
		}
		full.Free()
		if _, err := decode(arg("b", "text"), arg("c", true), arg("a", "no number")); err == nil {
			t.Fatal("a text passes for a number")
		}
		if _, err := decode(arg("b", "text")); err == nil {
			t.Fatal("an argument that must be there is that of the call before")
		}
		part, err := decode(arg("a", 2))
		if err != nil {
			t.Fatal(err)
		}
		if got := part.Append(part.Room())[0].Interface().(fields); got.A != 2 || got.B != "" || got.C != nil {
			t.Fatalf("%+v", got)
		}
		part.Free()
	}
}

func TestResultsRoundTrip(t *testing.T) {
	for name, fn := range functions {
		sig := exported(t, fn)
		for _, codec := range codecsFor(t, sig) {
			t.Run(name+"/"+codec.Name(), func(t *testing.T) {
				var sent, got []reflect.Value
				for i, r := range sig.ResultTypes() {
					sent = append(sent, randomValue(t, uint64(i), r))
					got = append(got, reflect.New(r).Elem())
				}
				body, err := sig.EncodeResults(nil, codec, sent)
				if err != nil {
					t.Fatal(err)
				}
				if err := sig.DecodeResults(codec, body, got); err != nil {
					t.Fatal(err)
				}
				for i := range sent {
					if diff := cmp.Diff(sent[i].Interface(), got[i].Interface(), nilIsEmpty); diff != "" {
						t.Errorf("result %d (-sent +got):\n%s", i, diff)
					}
				}
			})
		}
	}
}

// A body never makes binding panic, and what is wrong with it is an Error.
func FuzzDecodeArgs(f *testing.F) {
	for _, seed := range []string{
		"", "\x92\x01\x02", "\x81\xa1a\x01", "\x82\xa1*\x91\x01\xa1b\xa1x", "\xdd\xff\xff\xff\xff",
		`[1,"x"]`, `{"a":1,"*":[2]}`, `{"$bytes":"AA=="}`, "\x0a\x02\x18\x02", "\x08\x01\x12\x01x",
	} {
		f.Add([]byte(seed))
	}
	type bound struct {
		sig    *bind.Signature
		codecs []args.Codec
	}
	var all []bound
	for _, fn := range functions {
		sig := exported(f, fn)
		all = append(all, bound{sig, codecsFor(f, sig)})
	}
	anySig := exported(f, func(any, ...map[any]any) {})
	all = append(all, bound{anySig, []args.Codec{msgpack.Codec{}, json.Codec{}, carp.Codec{}}})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, b := range all {
			for _, codec := range b.codecs {
				decoded, err := b.sig.DecodeArgs(codec, body)
				var fault *bind.Error
				if err != nil && !errors.As(err, &fault) {
					t.Errorf("%v is a %T", err, err)
				}
				if err == nil {
					decoded.Append(nil)
				}
			}
		}
	})
}

func TestRequired(t *testing.T) {
	sig, err := bind.Required(reflect.TypeFor[func(context.Context, int, ...grpc.CallOption) error]())
	if err != nil {
		t.Fatal(err)
	}
	if !sig.CallOptions || sig.Variadic || len(sig.Params) != 1 {
		t.Errorf("%+v", sig)
	}
}

func TestString(t *testing.T) {
	for want, fn := range map[string]any{
		"()":                         func() {},
		"(int, ...string) bool, int": func(context.Context, int, ...string) (bool, int, error) { return false, 0, nil },
		"(int64, string, *bool)":     func(fields) {},
	} {
		if got := exported(t, fn).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Binding a call with two numbers allocates little: it is on every call's way.
func BenchmarkDecodeArgs(b *testing.B) {
	sig := exported(b, func(context.Context, int, int) {})
	for _, codec := range codecsFor(b, sig) {
		body, err := sig.EncodeArgs(nil, codec, []reflect.Value{reflect.ValueOf(1), reflect.ValueOf(1000)})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(codec.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sig.DecodeArgs(codec, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
