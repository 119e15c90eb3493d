package protobuf_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/carp-rpc/carp-go/codecs/protobuf"
)

func TestRoundTrip(t *testing.T) {
	in := wrapperspb.String("x")
	data, err := protobuf.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out wrapperspb.StringValue
	if err := protobuf.Unmarshal(data, &out); err != nil || !proto.Equal(in, &out) {
		t.Errorf("a message comes back as it was: %v, %v", &out, err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := protobuf.Marshal("x"); err == nil || !strings.HasPrefix(err.Error(), "protobuf: marshal string: ") {
		t.Errorf("only messages are encoded: %v", err)
	}
	if err := protobuf.Unmarshal([]byte{0xff}, new(wrapperspb.StringValue)); err == nil || !strings.HasPrefix(err.Error(), "protobuf: unmarshal into *wrapperspb.StringValue: ") {
		t.Errorf("an error says what failed: %v", err)
	}
}

func TestRegistersNothing(t *testing.T) {
	if _, ours := encoding.GetCodecV2(protobuf.Name).(protobuf.Codec); ours {
		t.Error(`"proto" belongs to grpc`)
	}
}
