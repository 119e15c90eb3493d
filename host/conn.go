package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host/internal/link"
)

// RequireConn waits until this host or a linked one exports the service, and
// returns a connection for the client that was generated from its .proto file:
//
//	conn, err := h.RequireConn(ctx, "helloworld.Greeter")
//	greeter := pb.NewGreeterClient(conn)
//
// The connection is bound to the service's name and not to a host, as a required
// function is: each call goes to this host if it exports what is called, or else
// to one of the hosts that do, streams included, whoever dialled. [WithPicker] chooses
// ([OnHost] by name), [WithWaitForReady] waits, and [WithCodec] sends "json" or
// "msgpack" in the place of "proto", which is the default whatever the host's is.
func (h *Host) RequireConn(ctx context.Context, service string, opts ...CallOption) (grpc.ClientConnInterface, error) {
	c, err := h.requireConn(ctx, service, opts)
	if err != nil {
		return nil, fmt.Errorf("host %q: require the service %q: %w", h.label, service, err)
	}
	return c, nil
}

func (h *Host) requireConn(ctx context.Context, service string, opts []CallOption) (*serviceConn, error) {
	if err := checkName(service); err != nil {
		return nil, err
	}
	c := &serviceConn{host: h, cfg: h.config.call}
	c.cfg.codec = protoCodec
	for _, o := range opts {
		o.applyCall(&c.cfg)
	}
	switch {
	case c.cfg.oneWay:
		return nil, errors.New("generated clients wait for answers, and make no one-way calls")
	case messageCodec(c.cfg.codec) == nil:
		return nil, fmt.Errorf("the codec %q is none for messages; known are %s", c.cfg.codec, messageCodecs)
	}
	return c, h.await(ctx, &demand{service: service, picker: c.cfg.picker})
}

// serviceConn is a connection to whoever exports what is called.
type serviceConn struct {
	host *Host
	cfg  callConfig
}

// request is a call through the connection, without its message, and its options.
func (c *serviceConn) request(path string, opts []grpc.CallOption) (*request, []grpc.CallOption) {
	if c.cfg.codec != protoCodec {
		opts = append([]grpc.CallOption{grpc.CallContentSubtype(c.cfg.codec)}, opts...)
	}
	d := newDemand(path)
	d.picker = c.cfg.picker
	return &request{path: path, codec: c.cfg.codec, opts: opts, demand: d, cfg: &c.cfg}, opts
}

var _ grpc.ClientConnInterface = (*serviceConn)(nil)

// Invoke implements [grpc.ClientConnInterface].
func (c *serviceConn) Invoke(ctx context.Context, path string, in, out any, opts ...grpc.CallOption) error {
	q, opts := c.request(path, opts)
	err := c.host.make(ctx, q, func(ctx context.Context, _ *request, p provider) error {
		return c.invokeAt(ctx, p, path, in, out, opts)
	})
	if err != nil {
		return statusOf(err).Err()
	}
	return nil
}

// invokeAt makes a call at a provider.
func (c *serviceConn) invokeAt(ctx context.Context, p provider, path string, in, out any, opts []grpc.CallOption) error {
	rpc, err := p.stubs(ctx)
	if err != nil {
		return err
	}
	if rpc == nil {
		return c.invokeEncoded(ctx, p, path, in, out, opts)
	}
	var at peer.Peer
	var trailer metadata.MD
	mine := append(opts[:len(opts):len(opts)], grpc.Peer(&at), grpc.Trailer(&trailer))
	err = rpc.Invoke(p.link.outgoing(ctx, &request{}), path, in, out, mine...)
	switch {
	case err != nil && len(trailer.Get(link.RefusedKey)) > 0:
		return &refusedError{err}
	case err != nil && len(trailer.Get(exceptionKey)) == 0:
		return p.link.lost(ctx, err, at.Addr != nil)
	}
	return err
}

// stubs is the way to the provider for gRPC's generated code, or nil if messages
// have to be encoded here.
func (p provider) stubs(ctx context.Context) (grpc.ClientConnInterface, error) {
	if p.link == nil {
		return nil, nil
	}
	return p.link.stubs(ctx)
}

// encoding are the codec and the options of a call that doesn't go through gRPC.
func encodingOf(opts []grpc.CallOption) (encoding.CodecV2, *wireOptions, error) {
	o, err := readOptions(opts)
	if err != nil {
		return nil, nil, err
	}
	if o.subtype == "" {
		o.subtype = protoCodec
	}
	codec := messageCodec(o.subtype)
	if codec == nil {
		return nil, nil, status.Errorf(codes.Internal, "no codec for the content-subtype %q; known are %s", o.subtype, messageCodecs)
	}
	return codec, &o, nil
}

// invokeEncoded makes a call that doesn't go through gRPC.
func (c *serviceConn) invokeEncoded(ctx context.Context, p provider, path string, in, out any, opts []grpc.CallOption) error {
	codec, o, err := encodingOf(opts)
	if err != nil {
		return err
	}
	msg, err := codec.Marshal(in)
	if err != nil {
		return status.Errorf(codes.Internal, "%s: error marshalling request: %v", pathName(path), err)
	}
	// Not a pooled buffer: a call that is given up may still be being sent.
	body := msg.Materialize()
	msg.Free()
	r, err := p.call(ctx, &request{path: path, codec: o.subtype, body: body, opts: opts})
	if err != nil {
		if r != nil && len(r.trailer.Get(link.RefusedKey)) > 0 {
			return &refusedError{err}
		}
		return err
	}
	reply := r.body.Buffers()
	defer reply.Free()
	if err := codec.Unmarshal(reply, out); err != nil {
		return status.Errorf(codes.Internal, "%s: error unmarshalling reply: %v", pathName(path), err)
	}
	return nil
}

// NewStream implements [grpc.ClientConnInterface].
func (c *serviceConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	var s grpc.ClientStream
	q, opts := c.request(path, opts)
	q.stream = desc
	err := c.host.make(ctx, q, func(ctx context.Context, _ *request, p provider) (err error) {
		s, err = c.openAt(ctx, p, desc, path, opts)
		return err
	})
	if err != nil {
		return nil, statusOf(err).Err()
	}
	return s, nil
}

// openAt opens a stream at a provider.
func (c *serviceConn) openAt(ctx context.Context, p provider, desc *grpc.StreamDesc, path string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	rpc, err := p.stubs(ctx)
	if err != nil {
		return nil, err
	}
	if rpc == nil {
		return c.openEncoded(ctx, p, desc, path, opts)
	}
	var at peer.Peer
	mine := append(opts[:len(opts):len(opts)], grpc.Peer(&at))
	s, err := rpc.NewStream(p.link.outgoing(ctx, &request{}), desc, path, mine...)
	if err != nil {
		return nil, p.link.lost(ctx, err, at.Addr != nil)
	}
	return &lostStream{s, ctx, p.link}, nil
}

// lostStream says of a stream that was lost with its link that it was.
type lostStream struct {
	grpc.ClientStream
	ctx  context.Context //nolint:containedctx // the caller's; the stream's own ends with the stream
	link *Link
}

// RecvMsg implements [grpc.ClientStream].
func (s *lostStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if l := s.link; l.Err() != nil {
		return statusOf(l.lost(s.ctx, err, true)).Err()
	}
	return err
}

// openEncoded opens a stream that doesn't go through gRPC.
func (c *serviceConn) openEncoded(ctx context.Context, p provider, desc *grpc.StreamDesc, path string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	codec, o, err := encodingOf(opts)
	if err != nil {
		return nil, err
	}
	if p.link != nil {
		o.setPeer(p.link.peer)
	}
	s := &clientStream{ctx: ctx, desc: desc, codec: codec, opts: o}
	q := request{path: path, codec: o.subtype, stream: desc}
	if desc.ClientStreams {
		s.messages, err = p.open(ctx, &q)
		return s, err
	}
	s.open = func(body []byte) (messages, error) {
		q.body = body
		return p.open(ctx, &q)
	}
	return s, nil
}
