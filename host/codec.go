package host

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// protoCodec is the codec of a call without a tag.
const protoCodec = "proto"

// What the endpoints speak, for error texts and the trailer carp-accept-codec.
const (
	functionCodecs = "carp,msgpack,json"
	messageCodecs  = "proto,msgpack,json"
)

// dynamicCodec returns the codec for the arguments of functions of any type, or
// nil if there is none of that name.
func dynamicCodec(name string) args.Codec {
	switch name {
	case msgpack.Name:
		return msgpack.Codec{}
	case json.Name:
		return json.Codec{}
	case carp.Name:
		return carp.Codec{}
	}
	return nil
}

// messageCodec returns the codec for the messages of generated services, or nil.
// The host has its own table: what else is registered with grpc in the process
// has no influence.
func messageCodec(name string) encoding.CodecV2 {
	switch name {
	case protoCodec:
		return encoding.GetCodecV2(protoCodec)
	case msgpack.Name:
		return msgpack.Codec{}
	case json.Name:
		return json.Codec{}
	}
	return nil
}

// codecFor returns the codec for a function of known type.
func codecFor(name, path string, sig *bind.Signature) (args.Codec, error) {
	if c := dynamicCodec(name); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("the codec %q is not known; known are %s", name, functionCodecs)
}

// typedCodec is the typed protobuf codec of one function, made when first
// needed.
type typedCodec struct {
	once  sync.Once
	codec args.Codec
	err   error
}

func (t *typedCodec) get(path string, sig *bind.Signature) (args.Codec, error) {
	t.once.Do(func() { t.codec, t.err = codecFor(protoCodec, path, sig) })
	return t.codec, t.err
}
