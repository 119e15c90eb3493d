package synth_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestSource(t *testing.T) {
	down := function("Down", func(int) any { return nil })
	down.ServerStreaming = true
	s := newService(t,
		function("Move", func(point, map[string]*point, []byte) (int8, []uint64) { return 0, nil }),
		function("Own", func(*wrapperspb.Int64Value) *wrapperspb.Int64Value { return nil }),
		down,
		function("Nothing", func() {}),
	)
	want := map[string]string{
		"carp_gen/math/Calculator_messages.proto": `// Made from Go functions. Do not edit.
syntax = "proto3";

package carp.gen.math.Calculator;

import "carpgo/v1/carp.proto";
import "google/protobuf/wrappers.proto";

message MoveRequest {
  .carp.gen.math.Calculator.point p1 = 1;
  map<string, .carp.gen.math.Calculator.point> p2 = 2;
  optional bytes p3 = 3;
}

message point {
  double x = 1;
  double y_axis = 2 [json_name = "y-axis"];
  optional string Label = 3;
}

message MoveResponse {
  optional int32 result = 1;
  repeated uint64 result2 = 2;
}

message DownRequest {
  optional int64 p1 = 1;
}

message DownResponse {
  .carp.v1.Value result = 1;
}

message NothingRequest {}

message NothingResponse {}
`,
		"carp_gen/math/Calculator.proto": `// Made from Go functions. Do not edit.
syntax = "proto3";

package math;

import "carpgo/v1/carp.proto";
import "google/protobuf/wrappers.proto";
import "carp_gen/math/Calculator_messages.proto";

service Calculator {
  rpc Move(.carp.gen.math.Calculator.MoveRequest) returns (.carp.gen.math.Calculator.MoveResponse);
  rpc Own(.google.protobuf.Int64Value) returns (.google.protobuf.Int64Value);
  rpc Down(.carp.gen.math.Calculator.DownRequest) returns (stream .carp.gen.math.Calculator.DownResponse);
  rpc Nothing(.carp.gen.math.Calculator.NothingRequest) returns (.carp.gen.math.Calculator.NothingResponse);
}
`,
	}
	if diff := cmp.Diff(want, s.Source()); diff != "" {
		t.Errorf("source (-want +got)\n%s", diff)
	}
}
