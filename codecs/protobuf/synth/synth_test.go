package synth_test

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// function describes a Go function, with parameters named p1, p2 and so on.
func function(name string, f any) synth.Function {
	t := reflect.TypeOf(f)
	fn := synth.Function{Name: name}
	for i := range t.NumIn() {
		fn.Params = append(fn.Params, synth.Param{Name: "p" + string(rune('1'+i)), Type: t.In(i)})
	}
	for i := range t.NumOut() {
		fn.Results = append(fn.Results, t.Out(i))
	}
	return fn
}

func newService(t *testing.T, functions ...synth.Function) *synth.Service {
	t.Helper()
	s, err := synth.New("math.Calculator", functions)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type (
	point struct {
		X     float64 `json:"x"`
		Y     float64 `json:"y-axis"`
		Label *string
	}
	node struct {
		Name     string
		Children []*node
		ByName   map[string]node
		Parent   *node
	}
	small struct {
		I8  int8
		U16 uint16
		F32 float32
	}
	celsius        float64
	addrs          []netip.Addr
	pair[A, B any] struct {
		First  A
		Second B
	}
)

func (c celsius) EncodeValue() (any, error) { return float64(c), nil }
func (c *celsius) DecodeValue(decode func(any) error) error {
	return decode((*float64)(c))
}

func ptr[T any](v T) *T { return &v }

var instant = time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)

// roundTrips are functions, by their one parameter type, and arguments for them.
var roundTrips = []any{
	true, false, int(-5), int8(-128), int16(-32768), int32(math.MinInt32), int64(math.MaxInt64), 0,
	uint(5), uint8(255), uint16(65535), uint32(math.MaxUint32), uint64(math.MaxUint64),
	float32(0.1), math.Copysign(0, -1), math.Inf(1), "", "héllo", []byte{1, 0xff}, [2]byte{1, 2}, value.Bytes("\xff"),
	time.Duration(-5), netip.MustParseAddr("::1"),
	instant, value.Date{Year: 2024, Month: 2, Day: 29}, value.DateTimeOf(instant),
	value.Ref{Class: "C", ID: "1", Host: "h"}, value.Named{Name: "n", Value: []any{int64(1)}},
	celsius(21.5), []celsius{1, 2}, ptr(celsius(3)),
	ptr(5), ptr(""), (*int)(nil), ptr(instant), (*time.Time)(nil), ptr(value.Ref{ID: "1"}),
	point{1, -2, ptr("p")}, point{}, &point{X: 1}, (*point)(nil), small{-1, 2, 0.5}, struct{}{},
	node{Name: "root", Children: []*node{{Name: "a"}, {}}, ByName: map[string]node{"x": {Name: "y"}}, Parent: &node{}},
	pair[int, string]{1, "x"}, pair[point, []byte]{point{X: 1}, []byte{1}},
	[]int{1, -2, 0}, []int(nil), []bool{true, false}, []float32{0.5, 0}, []uint64{math.MaxUint64}, []int8{-128, 127},
	[]string{"", "a"}, [][]byte{{1}, {}}, []point{{}, {X: 1}}, []*point{{X: 2}}, []time.Time{instant}, []any{int64(1), nil, "x", []any{}},
	[]netip.Addr{netip.MustParseAddr("10.0.0.1")}, addrs{netip.MustParseAddr("10.0.0.1")},
	map[string]int{"a": 1, "": 0}, map[int8]string{-128: "min"}, map[bool]point{true: {X: 1}}, map[uint64]*point{1: {Y: 1}},
	map[string]any{"a": []any{int64(1)}, "b": nil}, map[netip.Addr][]byte{netip.MustParseAddr("::1"): {1}},
	wrapperspb.Int64(5), (*wrapperspb.Int64Value)(nil), []*wrapperspb.StringValue{wrapperspb.String("x")},
	map[string]*anypb.Any{"a": {TypeUrl: "x/y"}},
}

// dynamicTypes can't be had from a value.
var dynamicTypes = []struct {
	typ  reflect.Type
	args []any
}{
	{reflect.TypeFor[any](), []any{nil, int64(5), "x", []any{}, map[string]any{"k": uint64(math.MaxUint64)}, instant, []byte{}}},
}

func TestRoundTrip(t *testing.T) {
	for _, in := range roundTrips {
		roundTrip(t, reflect.TypeOf(in), reflect.ValueOf(in))
	}
	for _, tc := range dynamicTypes {
		for _, in := range tc.args {
			v := reflect.New(tc.typ).Elem()
			if in != nil {
				v.Set(reflect.ValueOf(in))
			}
			roundTrip(t, tc.typ, v)
		}
	}
}

// roundTrip passes a value as an argument and as a result, by position and by
// name, and lets protobuf itself read and write the message in between.
func roundTrip(t *testing.T, typ reflect.Type, in reflect.Value) {
	t.Helper()
	s := newService(t, synth.Function{
		Name:    "F",
		Params:  []synth.Param{{Name: "before", Type: reflect.TypeFor[int]()}, {Name: "p", Type: typ}},
		Results: []reflect.Type{typ, reflect.TypeFor[string]()},
	})
	m := s.Method("F")
	body, err := m.AppendArgs([]byte("x"), []reflect.Value{reflect.ValueOf(7)}, []args.Named{{Name: "p", Value: in}})
	if err != nil {
		t.Errorf("%v: AppendArgs: %v", typ, err)
		return
	}
	body = throughProtobuf(t, s.Descriptor().Methods().Get(0).Input(), body[1:])
	all, err := m.Split(body)
	if err != nil {
		t.Errorf("%v: Split: %v", typ, err)
		return
	}
	same(t, m, typ, in, all.Named[len(all.Named)-1].Raw, in.Kind() == reflect.Pointer && in.IsNil())

	body, err = m.AppendResults(nil, []reflect.Value{in, reflect.ValueOf("s")})
	if err != nil {
		t.Errorf("%v: AppendResults: %v", typ, err)
		return
	}
	raws, err := m.SplitResults(throughProtobuf(t, s.Descriptor().Methods().Get(0).Output(), body), 2)
	if err != nil {
		t.Errorf("%v: SplitResults: %v", typ, err)
		return
	}
	same(t, m, typ, in, raws[0], false)
}

func same(t *testing.T, m *synth.Method, typ reflect.Type, want reflect.Value, raw args.Raw, absent bool) {
	t.Helper()
	if absent {
		return // the parameter before is the last one that is there
	}
	out := reflect.New(typ).Elem()
	if err := m.Decode(raw, out); err != nil {
		t.Errorf("%v: Decode: %v", typ, err)
		return
	}
	if diff := cmp.Diff(want.Interface(), out.Interface(), protocmp.Transform(), exact); diff != "" {
		t.Errorf("%v comes back as it was (-want +got)\n%s", typ, diff)
	}
}

var exact = cmp.Options{
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

// throughProtobuf decodes a message by its descriptor and encodes it again, as a
// stranger would who has only that.
func throughProtobuf(t *testing.T, md protoreflect.MessageDescriptor, body []byte) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := proto.Unmarshal(body, m); err != nil {
		t.Fatalf("%s: protobuf does not understand %x: %v", md.FullName(), body, err)
	}
	if len(m.GetUnknown()) > 0 {
		t.Fatalf("%s: protobuf does not know all fields of %x", md.FullName(), body)
	}
	again, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestFromJSON(t *testing.T) {
	type params = struct {
		P point
		N []int64
		M map[string]small
		O *int
		S string
	}
	s := newService(t, synth.Function{Name: "F", Params: []synth.Param{
		{Name: "p", Type: reflect.TypeFor[point]()}, {Name: "n", Type: reflect.TypeFor[[]int64]()}, {Name: "m", Type: reflect.TypeFor[map[string]small]()},
		{Name: "o", Type: reflect.TypeFor[*int]()}, {Name: "s", Type: reflect.TypeFor[string]()},
	}})
	request := dynamicpb.NewMessage(s.Descriptor().Methods().Get(0).Input())
	err := protojson.Unmarshal([]byte(`{"p": {"x": 1.5, "y-axis": -1}, "n": ["9007199254740993", 0], "m": {"k": {"I8": -5}}, "s": ""}`), request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Method("F").Split(body)
	if err != nil {
		t.Fatal(err)
	}
	var got params
	targets := map[string]any{"p": &got.P, "n": &got.N, "m": &got.M, "o": &got.O, "s": &got.S}
	var names []string
	for _, arg := range all.Named {
		names = append(names, arg.Name)
		if err := s.Method("F").Decode(arg.Raw, reflect.ValueOf(targets[arg.Name]).Elem()); err != nil {
			t.Errorf("%s: %v", arg.Name, err)
		}
	}
	if want := "p n m s"; strings.Join(names, " ") != want {
		t.Errorf("arguments %q, want %q: those that are there, an empty string included", names, want)
	}
	want := params{P: point{X: 1.5, Y: -1}, N: []int64{9007199254740993, 0}, M: map[string]small{"k": {I8: -5}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what grpcurl would send (-want +got)\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	s := newService(t, function("F", func(int, []int, map[string]int, *int, point) (int, []int, *int) { return 0, nil, nil }))
	all, err := s.Method("F").Split(nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, arg := range all.Named {
		names = append(names, arg.Name)
	}
	if diff := cmp.Diff([]string{"p2", "p3"}, names); diff != "" {
		t.Errorf("of nothing, only lists and maps are there, being empty (-want +got)\n%s", diff)
	}
	_, err = s.Method("F").SplitResults(nil, 3)
	var e *value.Error
	if !errors.As(err, &e) || e.Path != "result" {
		t.Errorf("a missing result that can't be nil is an error that names it: %v", err)
	}
	body, err := s.Method("F").AppendResults(nil, []reflect.Value{reflect.ValueOf(0), reflect.ValueOf([]int{}), reflect.ValueOf((*int)(nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Method("F").SplitResults(body, 3); err != nil {
		t.Errorf("a zero is not missing: %v", err)
	}
}

func TestOwnMessages(t *testing.T) {
	s := newService(t, function("F", func(*wrapperspb.Int64Value) *wrapperspb.StringValue { return nil }))
	m := s.Method("F")
	md := s.Descriptor().Methods().ByName("F")
	if !m.Own() || md.Input().FullName() != "google.protobuf.Int64Value" || md.Output().FullName() != "google.protobuf.StringValue" {
		t.Errorf("a function from message to message has these for its bodies: %v", md)
	}
	in := wrapperspb.Int64(5)
	body, err := m.AppendArgs(nil, []reflect.Value{reflect.ValueOf(in)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != string(want) {
		t.Errorf("body %x, want that of the message, %x", body, want)
	}
	all, err := m.Split(body)
	if err != nil {
		t.Fatal(err)
	}
	var got *wrapperspb.Int64Value
	if err := m.Decode(all.Positional[0], reflect.ValueOf(&got).Elem()); err != nil || got.GetValue() != 5 {
		t.Errorf("Decode: %v, %v", got, err)
	}
	body, err = m.AppendResults(nil, []reflect.Value{reflect.ValueOf(wrapperspb.String("r"))})
	if err != nil {
		t.Fatal(err)
	}
	raws, err := m.SplitResults(body, 1)
	if err != nil {
		t.Fatal(err)
	}
	var reply *wrapperspb.StringValue
	if err := m.Decode(raws[0], reflect.ValueOf(&reply).Elem()); err != nil || reply.GetValue() != "r" {
		t.Errorf("Decode: %v, %v", reply, err)
	}
}

func TestStreams(t *testing.T) {
	down := function("Down", func(int) string { return "" })
	down.ServerStreaming = true
	up := function("Up", func(string, int) int { return 0 })
	up.ItemParam = "p2"
	s := newService(t, down, up)
	if md := s.Descriptor().Methods().ByName("Down"); !md.IsStreamingServer() || md.IsStreamingClient() {
		t.Errorf("streaming is in the descriptor: %v", md)
	}
	if md := s.Descriptor().Methods().ByName("Up"); md.IsStreamingServer() || !md.IsStreamingClient() {
		t.Errorf("streaming is in the descriptor: %v", md)
	}
	for _, tc := range []struct {
		codec args.Codec
		item  any
	}{{s.Method("Down"), "item"}, {s.Method("Up").ClientItems(), 5}} {
		body, err := tc.codec.Append(nil, reflect.ValueOf(tc.item))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tc.codec.Check(body)
		if err != nil {
			t.Fatal(err)
		}
		out := reflect.New(reflect.TypeOf(tc.item)).Elem()
		if err := tc.codec.Decode(raw, out); err != nil || out.Interface() != tc.item {
			t.Errorf("an item comes back as it was: %v, %v", out, err)
		}
	}
}

func TestDescriptors(t *testing.T) {
	s := newService(t,
		function("Add", func(int, point, *point, node) point { return point{} }),
		function("add", func(pair[point, *anypb.Any]) map[int32]point { return nil }),
	)
	files := s.Files()
	if len(files) != 2 || files[0].Package() != "carp.gen.math.Calculator" || files[1].Package() != "math" {
		t.Fatalf("a package for the messages, and that of the path for the service: %v", files)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Path(), "carp/") {
			t.Errorf("path %s: a Python module made of it would hide the package carp", f.Path())
		}
	}
	if s.Descriptor().FullName() != "math.Calculator" {
		t.Errorf("the service is named as its path: %s", s.Descriptor().FullName())
	}
	var names []string
	for i := range files[0].Messages().Len() {
		names = append(names, string(files[0].Messages().Get(i).Name()))
	}
	want := "AddRequest point node AddResponse addRequest pair_point_Any addResponse"
	if strings.Join(names, " ") != want {
		t.Errorf("messages %q, want %q: one for each type", names, want)
	}
	p := files[0].Messages().ByName("point").Fields()
	if f := p.ByNumber(2); f.Name() != "y_axis" || f.JSONName() != "y-axis" || f.HasPresence() {
		t.Errorf("a name that is no identifier is made one, and stays in JSON: %v", f)
	}
	if f := p.ByNumber(3); f.Kind() != protoreflect.StringKind || !f.HasOptionalKeyword() {
		t.Errorf("a pointer to a scalar is an optional field: %v", f)
	}
	in := s.Descriptor().Methods().ByName("Add").Input().Fields()
	if f := in.ByName("p1"); f.Number() != 1 || f.Kind() != protoreflect.Int64Kind || !f.HasOptionalKeyword() {
		t.Errorf("a parameter that is a scalar is an optional field: %v", f)
	}
}
