package host

import (
	"sync"

	"google.golang.org/grpc/encoding"

	"github.com/carp-rpc/carp-go/codecs"
	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/protobuf"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// protoCodec is the codec of a call without a tag.
const protoCodec = protobuf.Name

// What the endpoints speak, for error texts and the trailer carp-accept-codec.
const (
	functionCodecs = "proto,carp,msgpack,json"
	dynamicCodecs  = "carp,msgpack,json" // of functions without a protobuf form
	messageCodecs  = "proto,msgpack,json"
)

// dynamicCodec returns the codec for the arguments of functions of any type, or
// nil if there is none of that name.
func dynamicCodec(name string) args.Codec { return codecs.ForArguments(name) }

// messageCodec returns the codec for the messages of generated services, or nil.
// The host has its own table: what else is registered with grpc in the process
// has no influence.
func messageCodec(name string) encoding.CodecV2 { return codecs.ForMessages(name) }

// typed is the typed protobuf codec of one function, made when first needed: most
// functions are never called that way.
type typed struct {
	once  sync.Once
	codec *synth.Method
	err   error
}

func (t *typed) get(path string, sig *bind.Signature) (*synth.Method, error) {
	t.once.Do(func() { t.codec, t.err = typedCodec(path, sig) })
	return t.codec, t.err
}

// typedCodec makes the codec of a function of which the messages are made from
// its signature.
func typedCodec(path string, sig *bind.Signature) (*synth.Method, error) {
	service, method, _ := splitPath(path)
	s, err := synth.New(service, []synth.Function{synthFunction(method, sig)})
	if err != nil {
		return nil, err
	}
	return s.Method(method), nil
}

func synthFunction(method string, sig *bind.Signature) synth.Function {
	f := synth.Function{Name: method, Results: sig.ResultTypes(), ServerStreaming: sig.Stream != bind.NoStream}
	for i := range sig.Params {
		p := &sig.Params[i]
		f.Params = append(f.Params, synth.Param{Name: p.Name, Type: p.Type})
		if p.Stream != bind.NoStream {
			f.ItemParam = p.Name
		}
	}
	return f
}
