package codecs

import (
	"google.golang.org/grpc/encoding"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/internal/jsonwire"
	"github.com/carp-rpc/carp-go/codecs/internal/msgpackwire"
	"github.com/carp-rpc/carp-go/codecs/protobuf"
)

// ForArguments returns the codec of that name for the arguments and results of
// functions of any type: "msgpack", "json" or "carp". It returns nil for other
// names; "proto" depends on the function, see package codecs/protobuf/synth.
func ForArguments(name string) args.Codec {
	switch name {
	case msgpackwire.Name:
		return msgpackwire.Codec{}
	case jsonwire.Name:
		return jsonwire.Codec{}
	case carp.Name:
		return carp.Codec{}
	default:
		return nil
	}
}

// ForMessages returns the codec of that name for the messages of generated
// services: "proto", "msgpack" or "json". It returns nil for other names.
func ForMessages(name string) encoding.CodecV2 {
	switch name {
	case protobuf.Name:
		return protobuf.Codec{}
	case msgpackwire.Name:
		return msgpackwire.Codec{}
	case jsonwire.Name:
		return jsonwire.Codec{}
	default:
		return nil
	}
}
