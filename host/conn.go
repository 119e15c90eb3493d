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
// to one of the hosts that do, streams included, whoever dialled.
func (h *Host) RequireConn(ctx context.Context, service string) (grpc.ClientConnInterface, error) {
	err := checkName(service)
	if err == nil {
		err = h.await(ctx, &demand{service: service})
	}
	if err != nil {
		return nil, fmt.Errorf("host %q: require the service %q: %w", h.label, service, err)
	}
	return &serviceConn{host: h}, nil
}

// serviceConn is a connection to whoever exports what is called.
type serviceConn struct {
	host *Host
}

var _ grpc.ClientConnInterface = (*serviceConn)(nil)

// Invoke implements [grpc.ClientConnInterface].
func (c *serviceConn) Invoke(ctx context.Context, path string, in, out any, opts ...grpc.CallOption) error {
	err := c.host.attempt(ctx, &request{path: path, opts: opts}, func(p provider) error {
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
	})
	if err != nil {
		return statusOf(err).Err()
	}
	return nil
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
	return codec, o, nil
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
	defer r.body.Free()
	if err := codec.Unmarshal(r.body, out); err != nil {
		return status.Errorf(codes.Internal, "%s: error unmarshalling reply: %v", pathName(path), err)
	}
	return nil
}

// NewStream implements [grpc.ClientConnInterface].
func (c *serviceConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	var s grpc.ClientStream
	err := c.host.attempt(ctx, &request{path: path, opts: opts}, func(p provider) error {
		rpc, err := p.stubs(ctx)
		if err != nil {
			return err
		}
		if rpc == nil {
			s, err = c.openEncoded(ctx, p, desc, path, opts)
			return err
		}
		var at peer.Peer
		mine := append(opts[:len(opts):len(opts)], grpc.Peer(&at))
		if s, err = rpc.NewStream(p.link.outgoing(ctx, &request{}), desc, path, mine...); err != nil {
			return p.link.lost(ctx, err, at.Addr != nil)
		}
		s = &lostStream{s, ctx, p.link}
		return nil
	})
	if err != nil {
		return nil, statusOf(err).Err()
	}
	return s, nil
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
