package carp_test

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/value"
)

var (
	instant = time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)
	null    = &carpv1.Value{Kind: &carpv1.Value_NullValue{NullValue: &carpv1.Null{}}}
)

func number(i int64) *carpv1.Value {
	return &carpv1.Value{Kind: &carpv1.Value_IntValue{IntValue: i}}
}

func text(s string) *carpv1.Value {
	return &carpv1.Value{Kind: &carpv1.Value_StringValue{StringValue: s}}
}

func list(items ...*carpv1.Value) *carpv1.Value {
	return &carpv1.Value{Kind: &carpv1.Value_ListValue{ListValue: &carpv1.List{Items: items}}}
}

func mapOf(entries ...*carpv1.Entry) *carpv1.Value {
	return &carpv1.Value{Kind: &carpv1.Value_MapValue{MapValue: &carpv1.Map{Entries: entries}}}
}

// TestMessages checks that what we write by hand is what protobuf calls a
// carp.v1.Value, and the reverse.
func TestMessages(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want *carpv1.Value
	}{
		{nil, null},
		{true, &carpv1.Value{Kind: &carpv1.Value_BoolValue{BoolValue: true}}},
		{int64(math.MinInt64), number(math.MinInt64)},
		{int64(0), number(0)},
		{uint64(1 << 63), &carpv1.Value{Kind: &carpv1.Value_UintValue{UintValue: 1 << 63}}},
		{math.Inf(-1), &carpv1.Value{Kind: &carpv1.Value_DoubleValue{DoubleValue: math.Inf(-1)}}},
		{0.0, &carpv1.Value{Kind: &carpv1.Value_DoubleValue{}}},
		{"", text("")},
		{"é", text("é")},
		{[]byte{}, &carpv1.Value{Kind: &carpv1.Value_BytesValue{BytesValue: []byte{}}}},
		{[]any{}, list()},
		{[]any{int64(1), []any{}, strings.Repeat("x", 300)}, list(number(1), list(), text(strings.Repeat("x", 300)))},
		{map[string]any{}, mapOf()},
		{map[string]any{"": nil}, mapOf(&carpv1.Entry{Key: text(""), Value: null})},
		{map[any]any{int64(1): map[string]any{}}, mapOf(&carpv1.Entry{Key: number(1), Value: mapOf()})},
		{instant, &carpv1.Value{Kind: &carpv1.Value_TimeValue{TimeValue: timestamppb.New(instant)}}},
		{time.Unix(0, 0).UTC(), &carpv1.Value{Kind: &carpv1.Value_TimeValue{TimeValue: &timestamppb.Timestamp{}}}},
		{time.Unix(-1, 5).UTC(), &carpv1.Value{Kind: &carpv1.Value_TimeValue{TimeValue: &timestamppb.Timestamp{Seconds: -1, Nanos: 5}}}},
		{
			value.Date{Year: 2024, Month: 2, Day: 29},
			&carpv1.Value{Kind: &carpv1.Value_DateValue{DateValue: &carpv1.Date{Year: 2024, Month: 2, Day: 29}}},
		},
		{
			value.DateTimeOf(instant),
			&carpv1.Value{Kind: &carpv1.Value_DatetimeValue{DatetimeValue: &carpv1.DateTime{
				Date: &carpv1.Date{Year: 2026, Month: 2, Day: 28}, Hour: 23, Minute: 59, Second: 59, Nanosecond: 123456789,
			}}},
		},
		{
			value.Ref{Class: "C", ID: "1", Host: "h"},
			&carpv1.Value{Kind: &carpv1.Value_RefValue{RefValue: &carpv1.Ref{Class: "C", Id: "1", Host: "h"}}},
		},
		{value.Ref{ID: "1"}, &carpv1.Value{Kind: &carpv1.Value_RefValue{RefValue: &carpv1.Ref{Id: "1"}}}},
		{
			value.Named{Name: "n", Value: []any{int64(1)}},
			&carpv1.Value{Kind: &carpv1.Value_NamedValue{NamedValue: &carpv1.Named{Name: "n", Value: list(number(1))}}},
		},
	} {
		got, err := carp.ToProto(tc.in)
		if err != nil {
			t.Errorf("ToProto(%v): %v", tc.in, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("ToProto(%v) (-want +got)\n%s", tc.in, diff)
		}
		if proto.Size(got) != len(mustMarshal(t, tc.in)) {
			t.Errorf("%v is not written in its shortest form", tc.in)
		}
		var back any
		if err := carp.FromProto(tc.want, &back); err != nil {
			t.Errorf("FromProto(%v): %v", tc.want, err)
			continue
		}
		if diff := cmp.Diff(tc.in, back); diff != "" {
			t.Errorf("FromProto(%v) (-want +got)\n%s", tc.want, diff)
		}
	}
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := carp.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBodies(t *testing.T) {
	body, err := carp.Codec{}.AppendArgs(nil, []reflect.Value{reflect.ValueOf(1), {}}, []args.Named{{Name: "b", Value: reflect.ValueOf("x")}})
	if err != nil {
		t.Fatal(err)
	}
	got := new(carpv1.Args)
	if err := proto.Unmarshal(body, got); err != nil {
		t.Fatal(err)
	}
	want := &carpv1.Args{Args: []*carpv1.Value{number(1), null}, Kwargs: map[string]*carpv1.Value{"b": text("x")}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("a request is a carp.v1.Args (-want +got)\n%s", diff)
	}
	body, err = carp.Codec{}.AppendResults(nil, []reflect.Value{reflect.ValueOf(1), reflect.ValueOf("x")})
	if err != nil {
		t.Fatal(err)
	}
	result := new(carpv1.Result)
	if err := proto.Unmarshal(body, result); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&carpv1.Result{Value: list(number(1), text("x"))}, result, protocmp.Transform()); diff != "" {
		t.Errorf("a reply is a carp.v1.Result (-want +got)\n%s", diff)
	}
}

func TestCheck(t *testing.T) {
	invalid := func(v *carpv1.Value) string {
		data, err := proto.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(data)
	}
	deep := list()
	for range 100 {
		deep = list(deep)
	}
	for _, tc := range []struct {
		in   string // hexadecimal
		text string // of the error
	}{
		{"", "without a kind"},
		{"0a", "unexpected EOF"},
		{"0a05", "a size of 5"},
		{"42ffffffff07", "a size of 2147483647"},
		{"1002" + "1002", "more than one kind"},
		{"0a00" + "1001", "more than one kind"},
		{"1001" + "0a00", "more than one kind"},
		{"7a00", "unknown kind 15"},
		{"7801", "unknown kind 15"},
		{"7900000000000000" + "00", "unknown kind 15"},
		{"7d00000000", "unknown kind 15"},
		{"0a021001", "a Null with contents"},
		{"3201ff", "not valid UTF-8"},
		{"42020a00", "without a kind"},
		{"42021200", "field 2, which is unknown"},
		{"4202" + "0801", "field 1, which is unknown"},
		{"4a" + "02" + "0a00", "without both of its fields"},
		{"4a" + "06" + "0a04" + "0a021801", "without both of its fields"},
		{"4a" + "0a" + "0a08" + "0a021801" + "0a021801", "for the second time"},
		{"4a" + "0e" + "0a0c" + "0a021801" + "12020a00" + "1a021801", "unknown or for the second time"},
		{invalid(mapOf(&carpv1.Entry{Key: list(), Value: null})), "a scalar as a map key"},
		{invalid(mapOf(&carpv1.Entry{Key: number(1), Value: null}, &carpv1.Entry{Key: number(1), Value: null})), "already has"},
		{invalid(mapOf(&carpv1.Entry{Key: &carpv1.Value{Kind: &carpv1.Value_DoubleValue{DoubleValue: math.NaN()}}, Value: null})), "NaN"},
		{invalid(deep), "deeper than 100"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_NamedValue{NamedValue: &carpv1.Named{Value: null}}}), "without both"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_NamedValue{NamedValue: &carpv1.Named{Name: "n"}}}), "without both"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_RefValue{RefValue: &carpv1.Ref{Class: "c"}}}), "without an id"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_DateValue{DateValue: &carpv1.Date{Year: 2023, Month: 2, Day: 29}}}), "a Date"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_DatetimeValue{DatetimeValue: &carpv1.DateTime{}}}), "a DateTime"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_TimeValue{TimeValue: &timestamppb.Timestamp{Nanos: -1}}}), "a Timestamp"},
		{invalid(&carpv1.Value{Kind: &carpv1.Value_TimeValue{TimeValue: &timestamppb.Timestamp{Seconds: 1 << 40}}}), "a Timestamp"},
		{"5a" + "03" + "08e80f", "a Date"},
		{"5a" + "04" + "08010802", "for the second time"},
		{"5a" + "02" + "2001", "field 4, which is unknown"},
	} {
		data, err := hex.DecodeString(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		err = carp.Check(data)
		if err == nil || !strings.HasPrefix(err.Error(), "carp: ") || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("Check(%.80s) = %v, want an error with %q", tc.in, err, tc.text)
		}
		var v any
		if err := carp.Unmarshal(data, &v); err == nil {
			t.Errorf("Unmarshal(%.80s) = %v, though Check refuses it", tc.in, v)
		}
	}
}

// TestAnyOrder checks messages whose fields come in another order than that of
// their numbers, as some libraries write them.
func TestAnyOrder(t *testing.T) {
	for in, want := range map[string]any{
		"4a" + "0a" + "0a08" + "12021802" + "0a021804":                                    map[any]any{int64(2): int64(1)},
		"4a" + "14" + "0a08" + "12021802" + "0a021804" + "0a08" + "0a021806" + "12021802": map[any]any{int64(2): int64(1), int64(3): int64(1)},
		"72" + "07" + "12021802" + "0a016e":                                               value.Named{Name: "n", Value: int64(1)},
		"5a" + "07" + "181d" + "08e80f" + "1002":                                          value.Date{Year: 2024, Month: 2, Day: 29},
	} {
		data, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = carp.Unmarshal(data, &got)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Unmarshal(%s): %v (-want +got)\n%s", in, err, diff)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, tc := range []struct{ in, text string }{
		{"1a00", "unknown field 3"}, {"0801", "field 1, which is unknown"}, {"0a", "unexpected EOF"}, {"0a0a", "unexpected EOF"},
		{"0a00", "without a kind"}, {"1202" + "0a00", "without a name"}, {"1203" + "0a0161", "without a name or a value"},
		{"1207" + "0a0161" + "12021802", ""}, {"1207" + "12021802" + "0a0161", ""},
		{"1207" + "0a0161" + "12021802" + "1207" + "0a0161" + "12021802", "twice"},
		{"1207" + "0a01ff" + "12021802", "without a name"},
	} {
		data, err := hex.DecodeString(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		all, err := carp.Codec{}.Split(data)
		if tc.text == "" && (err != nil || len(all.Named) != 1) || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("Split(%s) = %v, %v, want an error with %q", tc.in, all, err, tc.text)
		}
	}
	for _, in := range []string{"0a021802" + "0a021802", "12021802"} {
		data, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (carp.Codec{}).SplitResults(data, 1); err == nil {
			t.Errorf("SplitResults(%s): no error", in)
		}
	}
}

func TestNotRegistered(t *testing.T) {
	if encoding.GetCodecV2(carp.Name) != nil {
		t.Error("importing the package registers nothing")
	}
}
