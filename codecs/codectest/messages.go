package codectest

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/codecs/codectest/testpb"
)

func fullMessage(t *testing.T) *testpb.All {
	t.Helper()
	inside, err := anypb.New(&testpb.All{AString: "inside", ByName: map[string]int32{"$": 1}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := anypb.New(timestamppb.New(instant))
	if err != nil {
		t.Fatal(err)
	}
	anything, err := structpb.NewStruct(map[string]any{"a": []any{1.5, "x", nil, true, map[string]any{}}, "$b": "c"})
	if err != nil {
		t.Fatal(err)
	}
	return &testpb.All{
		ABool: true, AnInt32: math.MinInt32, ASint64: math.MinInt64, AUint32: math.MaxUint32, AFixed64: math.MaxUint64,
		AFloat: 0.1, ADouble: math.Pi, AString: "é", SomeBytes: []byte{0xff}, Color: testpb.Color_COLOR_BLUE,
		Child: &testpb.All{}, Maybe: proto.Int64(0),
		Numbers: []int64{1, math.MaxInt64}, Children: []*testpb.All{{ABool: true}, {Any: known}},
		Colors: []testpb.Color{testpb.Color_COLOR_RED, 99},
		ByName: map[string]int32{"": 1, "a": -1}, ByNumber: map[int64]string{math.MinInt64: "min"},
		ByTruth: map[bool]*testpb.All{true: {AString: "t"}},
		Choice:  &testpb.All_Number{Number: 0},
		At:      timestamppb.New(instant), Duration: durationpb.New(-1500 * time.Millisecond), Any: inside,
		Struct: anything, Value: structpb.NewNullValue(), List: &structpb.ListValue{},
		Wrapped: wrapperspb.Int64(math.MinInt64), WrappedBytes: wrapperspb.Bytes([]byte{}),
		Mask:  &fieldmaskpb.FieldMask{Paths: []string{"a_bool", "child.a_string"}},
		Empty: &emptypb.Empty{},
	}
}

func messages(t *testing.T, c Codec) {
	full := fullMessage(t)
	out := &testpb.All{AString: "left over", Choice: &testpb.All_Text{Text: "old"}}
	c.roundTrip(t, full, out)
	same(t, "a message comes back as it was", full, out)

	var nested struct {
		M    *testpb.All
		List []*testpb.All
		None *testpb.All
	}
	in := nested
	in.M, in.List = full, []*testpb.All{{AnInt32: 1}, {}}
	c.roundTrip(t, in, &nested)
	same(t, "messages may be inside of other values", in, nested)

	dynamic := dynamicpb.NewMessage(full.ProtoReflect().Descriptor())
	c.roundTrip(t, full, dynamic)
	same(t, "a message may be of a type made at run time", proto.Message(full), proto.Message(dynamic))

	for _, choice := range []*testpb.All{
		{Choice: &testpb.All_Text{}}, {Choice: &testpb.All_Other{Other: &testpb.All{}}}, {Choice: &testpb.All_Nothing{}},
	} {
		var out testpb.All
		c.roundTrip(t, choice, &out)
		same(t, "a member of a oneof is set though it is zero", choice, &out)
	}

	unknown := &testpb.All{Children: []*testpb.All{{}, {}}}
	unknown.Children[1].ProtoReflect().SetUnknown(protoreflect.RawFields{0x98, 0x06, 0x01})
	_, err := c.Marshal(unknown)
	wantError(t, "unknown fields are refused, since they would be lost", err, ".children[1]", "its descriptor does not have")

	type all = testpb.All
	var none *all
	var got any = "left over"
	c.roundTrip(t, none, &got)
	same(t, "a nil message is null", nil, got)
}

// wellKnownMessages checks messages that have a form of their own, among all that
// can't be seen in a round trip: what they look like to those who have no message.
func wellKnownMessages(t *testing.T, c Codec) {
	if c.Name() == "json" {
		return // it has its own form for messages, which is protojson's to test
	}
	var got map[string]any
	c.roundTrip(t, fullMessage(t), &got)
	for _, tc := range []struct {
		rule, field string
		want        any
	}{
		{"names are those of ProtoJSON, and 64-bit integers are integers", "aSint64", int64(math.MinInt64)},
		{"large integers are integers", "aFixed64", uint64(math.MaxUint64)},
		{"floats are floats", "aFloat", float64(float32(0.1))},
		{"bytes are bytes", "someBytes", []byte{0xff}},
		{"enums are names", "color", "COLOR_BLUE"},
		{"enums without a name are numbers", "colors", []any{"COLOR_RED", int64(99)}},
		{"an empty message is an empty map", "child", map[string]any{}},
		{"what is set is there, though it is zero", "maybe", int64(0)},
		{"lists are lists", "numbers", []any{int64(1), int64(math.MaxInt64)}},
		{"maps with text keys", "byName", map[string]any{"": int64(1), "a": int64(-1)}},
		{"maps with integer keys have integer keys", "byNumber", map[any]any{int64(math.MinInt64): "min"}},
		{"maps with truth values as keys", "byTruth", map[any]any{true: map[string]any{"aString": "t"}}},
		{"a Timestamp is an instant", "at", instant},
		{"a Duration is text", "duration", "-1.500s"},
		{"an Any is its message, with its type", "any", map[string]any{
			"@type": "type.googleapis.com/carp.codectest.All", "aString": "inside", "byName": map[string]any{"$": int64(1)},
		}},
		{"an Any with a message that is no map has it as a value", "children", []any{
			map[string]any{"aBool": true},
			map[string]any{"any": map[string]any{"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": instant}},
		}},
		{"a Struct is a map", "struct", map[string]any{"a": []any{1.5, "x", nil, true, map[string]any{}}, "$b": "c"}},
		{"a Value is what it holds", "value", nil},
		{"a ListValue is a list", "list", []any{}},
		{"a wrapper is what it wraps", "wrapped", int64(math.MinInt64)},
		{"a wrapper is what it wraps, though that is empty", "wrappedBytes", []byte{}},
		{"a FieldMask is text", "mask", "aBool,child.aString"},
		{"an Empty is an empty map", "empty", map[string]any{}},
	} {
		v, ok := got[tc.field]
		if !ok {
			t.Errorf("%s: no %s in %v", tc.rule, tc.field, got)
		}
		same(t, tc.rule, tc.want, v)
	}
	if _, ok := got["text"]; ok {
		t.Error("fields that are not set are left out")
	}

	for _, tc := range []struct {
		rule string
		in   map[string]any
		want *testpb.All
	}{
		{"names of the .proto file are understood", map[string]any{"a_bool": true}, &testpb.All{ABool: true}},
		{"numbers of enums are understood", map[string]any{"color": 7}, &testpb.All{Color: testpb.Color_COLOR_BLUE}},
		{"null leaves a field unset", map[string]any{"child": nil, "aBool": nil, "numbers": nil}, &testpb.All{}},
		{"whole floats fit integers", map[string]any{"anInt32": 5.0}, &testpb.All{AnInt32: 5}},
		{"integers fit floats", map[string]any{"aDouble": 5}, &testpb.All{ADouble: 5}},
		{"an Any's type may come last", map[string]any{"any": map[string]any{"value": "1s", "@type": "x/google.protobuf.Duration"}},
			&testpb.All{Any: &anypb.Any{TypeUrl: "x/google.protobuf.Duration", Value: []byte{8, 1}}}},
		{"an empty Any is an empty map", map[string]any{"any": map[string]any{}}, &testpb.All{Any: &anypb.Any{}}},
		{"a Value takes what comes", map[string]any{"value": []any{1, "x"}}, &testpb.All{
			Value: structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(1), structpb.NewStringValue("x")}}),
		}},
	} {
		var out testpb.All
		c.roundTrip(t, tc.in, &out)
		same(t, tc.rule, tc.want, &out)
	}
}

func messageMismatches(t *testing.T, c Codec) {
	for _, tc := range []struct {
		rule string
		in   map[string]any
		path string // of codecs that have no form of their own for messages
		text string
	}{
		{"a field that is not there", map[string]any{"child": map[string]any{"nope": 1}}, ".child.nope", "nope"},
		{"an int32 that is too large", map[string]any{"anInt32": int64(1 << 31)}, ".anInt32", "int32"},
		{"a uint32 that is negative", map[string]any{"children": []any{map[string]any{"aUint32": -1}}}, ".children[0].aUint32", "int32"},
		{"a uint64 that is negative", map[string]any{"aFixed64": -1}, ".aFixed64", "fixed64"},
		{"a fraction in an integer", map[string]any{"aSint64": 1.5}, ".aSint64", "int64"},
		{"a string for a truth value", map[string]any{"aBool": "true"}, ".aBool", "bool"},
		{"a number for a string", map[string]any{"aString": 1}, ".aString", "string"},
		{"an enum of that name is not there", map[string]any{"color": "GREEN"}, ".color", ""},
		{"a list for a message", map[string]any{"child": []any{}}, ".child", ""},
		{"a map for a list", map[string]any{"numbers": map[string]any{}}, ".numbers", ""},
		{"a list for a map", map[string]any{"byName": []any{}}, ".byName", ""},
		{"null in a list", map[string]any{"numbers": []any{nil}}, ".numbers[0]", ""},
		{"two members of a oneof", map[string]any{"text": "x", "number": 1}, "", "oneof"},
		{"two names of one field", map[string]any{"aBool": true, "a_bool": true}, "", ""},
		{"no duration", map[string]any{"duration": "1 second"}, ".duration", ""},
		{"no instant", map[string]any{"at": "yesterday"}, ".at", ""},
		{"an Any without a type", map[string]any{"any": map[string]any{"x": 1}}, ".any", "@type"},
		{"an Any of an unknown type", map[string]any{"any": map[string]any{"@type": "x/no.Such"}}, ".any", "no.Such"},
		{"no map at all", nil, "", ""},
	} {
		var in any = tc.in
		if tc.in == nil {
			in = []int{1}
		}
		data, err := c.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		path := tc.path
		if c.Name() == "json" {
			path = "" // protojson has errors of its own, without a path
		}
		wantError(t, tc.rule, c.Unmarshal(data, new(testpb.All)), path, tc.text)
	}
}
