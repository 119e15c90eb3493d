package host

import (
	"context"
	"fmt"
	"reflect"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// generatedUnary is the endpoint of a unary method of a generated service.
type generatedUnary struct {
	impl any
	desc *grpc.MethodDesc
}

// generatedStream is the endpoint of a streaming method of a generated service.
type generatedStream struct {
	impl any
	desc *grpc.StreamDesc
	// internal methods, the link's above all, live as long as their peer likes:
	// shutting down doesn't wait for them but ends them.
	internal bool
}

var (
	_ endpoint = (*generatedUnary)(nil)
	_ endpoint = (*generatedStream)(nil)
)

func (*generatedUnary) announce(name string) *carpv1.Method { return &carpv1.Method{Name: name} }

func (g *generatedStream) announce(name string) *carpv1.Method {
	return &carpv1.Method{
		Name:            name,
		ClientStreaming: g.desc.ClientStreams,
		ServerStreaming: g.desc.ServerStreams,
	}
}

func (g *generatedUnary) serve(c *call) error {
	codec := messageCodec(c.codec)
	if codec == nil {
		return c.errUnknownCodec(messageCodecs)
	}
	decode := func(v any) error {
		msg, err := c.receiveOne()
		if err != nil {
			return err
		}
		return unmarshal(codec, msg, v, c.path)
	}
	reply, err := g.desc.Handler(g.impl, c.ctx, decode, nil)
	if err != nil {
		return err
	}
	msg, err := codec.Marshal(reply)
	if err != nil {
		return replyError(c.path, err)
	}
	return c.send(raw.Join(msg))
}

func (g *generatedStream) serve(c *call) error {
	codec := messageCodec(c.codec)
	if codec == nil {
		return c.errUnknownCodec(messageCodecs)
	}
	stream := &serverStream{call: c, codec: codec}
	if !g.internal {
		return g.desc.Handler(g.impl, stream)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.desc.Handler(g.impl, stream) }()
	select {
	case err := <-ended:
		return err
	case <-c.host.stopping:
		// The call ends with this function, and with it what the handler may
		// be waiting for.
		return hostError(codes.Unavailable, "host %q is shutting down", c.host.label)
	}
}

// serverStream is a call as the handler of a streaming method sees it.
type serverStream struct {
	call  *call
	codec encoding.CodecV2
}

var _ grpc.ServerStream = (*serverStream)(nil)

func (s *serverStream) Context() context.Context        { return s.call.ctx }
func (s *serverStream) SetHeader(md metadata.MD) error  { return s.call.SetHeader(md) }
func (s *serverStream) SendHeader(md metadata.MD) error { return s.call.SendHeader(md) }

// SetTrailer has no way to refuse; reserved keys are dropped.
func (s *serverStream) SetTrailer(md metadata.MD) { _ = s.call.SetTrailer(md) }

func (s *serverStream) SendMsg(m any) error {
	msg, err := s.codec.Marshal(m)
	if err != nil {
		return replyError(s.call.path, err)
	}
	return s.call.send(raw.Join(msg))
}

func (s *serverStream) RecvMsg(m any) error {
	msg, err := s.call.receive()
	if err != nil {
		return err // io.EOF ends the caller's stream
	}
	return unmarshal(s.codec, msg, m, s.call.path)
}

// unmarshal decodes and frees a request message; what is wrong with it is the caller's
// fault.
func unmarshal(codec encoding.CodecV2, msg raw.Message, v any, path string) error {
	data := msg.Buffers()
	defer data.Free()
	if err := codec.Unmarshal(data, v); err != nil {
		return requestError(path, err)
	}
	return nil
}

// endpoints returns the endpoints of a generated service by method.
func endpoints(desc *grpc.ServiceDesc, impl any, internal bool) (map[string]endpoint, error) {
	if want := reflect.TypeOf(desc.HandlerType).Elem(); impl != nil && !reflect.TypeOf(impl).Implements(want) {
		return nil, fmt.Errorf("%T doesn't implement %v", impl, want)
	}
	all := make(map[string]endpoint, len(desc.Methods)+len(desc.Streams))
	for i := range desc.Methods {
		all[desc.Methods[i].MethodName] = &generatedUnary{impl: impl, desc: &desc.Methods[i]}
	}
	for i := range desc.Streams {
		all[desc.Streams[i].StreamName] = &generatedStream{impl: impl, desc: &desc.Streams[i], internal: internal}
	}
	return all, nil
}
