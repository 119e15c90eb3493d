package codecs_test

import (
	"testing"

	"google.golang.org/grpc/encoding"

	"github.com/carp-rpc/carp-go/codecs"
)

func TestByName(t *testing.T) {
	for _, name := range []string{"msgpack", "json", "carp"} {
		if c := codecs.ForArguments(name); c == nil || c.Name() != name {
			t.Errorf("ForArguments(%q) = %v", name, c)
		}
	}
	for _, name := range []string{"proto", "msgpack", "json"} {
		if c := codecs.ForMessages(name); c == nil || c.Name() != name {
			t.Errorf("ForMessages(%q) = %v", name, c)
		}
	}
	if codecs.ForArguments("proto") != nil || codecs.ForMessages("carp") != nil || codecs.ForMessages("") != nil {
		t.Error("names of codecs that there are not give nil")
	}
}

func TestRegistersNothing(t *testing.T) {
	for _, name := range []string{"msgpack", "json", "carp"} {
		if c := encoding.GetCodecV2(name); c != nil {
			t.Errorf("the import has registered %T as %q", c, name)
		}
	}
}
