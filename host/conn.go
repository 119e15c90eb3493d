package host

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RequireConn waits until this host or a linked one exports the service, and
// returns a connection for the client that was generated from its .proto file:
//
//	conn, err := h.RequireConn(ctx, "helloworld.Greeter")
//	greeter := pb.NewGreeterClient(conn)
//
// The connection is bound to the service's name and not to a host, as a required
// function is. Calls with one request and one reply go to any provider; streams
// go to hosts that this one has dialled.
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
	if err := checkOutgoing(ctx); err != nil {
		return statusOf(err).Err()
	}
	p, err := c.host.pick(path)
	if err != nil {
		return err
	}
	if p.link != nil && p.link.conn != nil {
		return p.link.lost(ctx, p.link.conn.Invoke(ctx, path, in, out, opts...))
	}
	return c.invokeEncoded(ctx, p, path, in, out, opts)
}

// invokeEncoded makes a call that doesn't go through gRPC.
func (c *serviceConn) invokeEncoded(ctx context.Context, p provider, path string, in, out any, opts []grpc.CallOption) error {
	o, err := readOptions(opts)
	if err != nil {
		return err
	}
	if o.subtype == "" {
		o.subtype = protoCodec
	}
	codec := messageCodec(o.subtype)
	if codec == nil {
		return status.Errorf(codes.Internal, "no codec for the content-subtype %q; known are %s", o.subtype, messageCodecs)
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
		return statusOf(err).Err()
	}
	defer r.body.Free()
	if err := codec.Unmarshal(r.body, out); err != nil {
		return status.Errorf(codes.Internal, "%s: error unmarshalling reply: %v", pathName(path), err)
	}
	return nil
}

// NewStream implements [grpc.ClientConnInterface].
func (c *serviceConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := checkOutgoing(ctx); err != nil {
		return nil, statusOf(err).Err()
	}
	p, err := c.host.pickDialled(path)
	if err != nil {
		return nil, err
	}
	return p.conn.NewStream(ctx, desc, path, opts...)
}

// pickDialled chooses a provider that this host has dialled.
func (h *Host) pickDialled(path string) (*Link, error) {
	d := newDemand(path)
	var dialled []*offer
	for _, o := range h.peers.find(d.service) {
		if o.link.conn != nil {
			dialled = append(dialled, o)
		}
	}
	if o := pickOffer(dialled, d, nil); o != nil {
		return o.link, nil
	}
	if _, err := h.pick(path); err != nil {
		return nil, err
	}
	return nil, status.Errorf(codes.Unimplemented,
		"%s is a stream, and streams are carried to hosts that this one has dialled; none of those exports it", pathName(path))
}
