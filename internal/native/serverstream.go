package native

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// Context implements [grpc.ServerStream].
func (c *serverCall) Context() context.Context { return c.ctx }

// Pairs implements [bothways.RawIncoming].
func (c *serverCall) Pairs() direct.Pairs { return c.stream.Request().Received() }

// SetHeader implements [grpc.ServerStream].
func (c *serverCall) SetHeader(md metadata.MD) error {
	if err := validate(md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return c.setHeader(md)
}

func (c *serverCall) setHeader(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent || c.ended() {
		return errIllegalHeader
	}
	c.header = metadata.Join(c.header, md)
	return nil
}

// SendHeader implements [grpc.ServerStream].
func (c *serverCall) SendHeader(md metadata.MD) error {
	if err := validate(md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return c.sendHeader(md)
}

func (c *serverCall) sendHeader(md metadata.MD) error {
	c.mu.Lock()
	switch {
	case c.ended():
		c.mu.Unlock()
		return c.endedErr()
	case c.sent:
		c.mu.Unlock()
		return errIllegalHeader
	}
	c.sent = true
	if md.Len() > 0 {
		c.header = metadata.Join(c.header, md)
	}
	header := c.wireHeader()
	most := c.maxHeader()
	tooLarge := most > 0 && c.headerSize(header) > most
	c.done = c.done || tooLarge
	c.mu.Unlock()
	if tooLarge {
		c.cutOff(most)
		return errHeaderTooLarge
	}
	if err := c.stream.SendHeader(&c.ctl, header); err != nil {
		return c.endedErr()
	}
	if c.counting() {
		c.stat(&stats.OutHeader{Header: c.header.Copy(), Compression: c.encoding})
	}
	return nil
}

// SetTrailer implements [grpc.ServerStream].
func (c *serverCall) SetTrailer(md metadata.MD) { _ = c.setTrailer(md) }

func (c *serverCall) setTrailer(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended() {
		return errIllegalHeader
	}
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// ended tells whether nothing more can be sent. Called with c.mu locked.
func (c *serverCall) ended() bool {
	return c.done || c.stream.Reason() != nil || c.ctl.Err() != nil
}

// endedErr is the error of sending on a call that has ended.
func (c *serverCall) endedErr() error {
	if c.stream.Reason() != nil {
		c.Canceled() // which may be under way
	}
	if err := c.ctl.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return errConnClosing
}

// SendMsg implements [grpc.ServerStream].
func (c *serverCall) SendMsg(msg any) (err error) {
	defer func() { c.abort(err) }()
	p, err := c.encode(msg)
	if err != nil {
		return err
	}
	if c.method.Unary && !c.many && !c.held.set {
		c.held = p // it goes with the status, in one frame
		return nil
	}
	if c.held.set {
		first := c.held
		c.held, c.many = payload{}, true
		if err := c.sendPayload(first); err != nil {
			p.free()
			return err
		}
	}
	return c.sendPayload(p)
}

// sendPayload sends a message ahead of the status, and lets it go.
func (c *serverCall) sendPayload(p payload) error {
	defer p.free()
	c.mu.Lock()
	ended, sent := c.ended(), c.sent
	c.mu.Unlock()
	if ended {
		return c.endedErr()
	}
	if !sent {
		if err := c.sendHeader(nil); err != nil {
			return toStatus(err)
		}
	}
	if err := c.stream.Send(&c.ctl, p.data, p.packed, false); err != nil {
		return c.endedErr()
	}
	if c.counting() {
		c.stat(p.out(false))
	}
	return nil
}

// RecvMsg implements [grpc.ServerStream].
func (c *serverCall) RecvMsg(msg any) (err error) {
	defer func() { c.abort(err) }()
	m, err := c.recv()
	if errors.Is(err, io.EOF) {
		if c.oneRequest() && !c.gotFirst {
			return status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
		}
		return io.EOF
	}
	if err != nil {
		return err
	}
	n, err := decode(c.codec, c.plain, c.unpacker(), m, msg)
	if err != nil {
		return err
	}
	c.gotFirst = true
	if c.counting() {
		c.stat(n.in(msg, false))
	}
	if !c.oneRequest() {
		return nil
	}
	switch extra, err := c.recv(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		extra.Free()
		return status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
	}
}

// oneRequest tells whether the client sends a single message.
func (c *serverCall) oneRequest() bool {
	return c.method.unary != nil || !c.method.stream.ClientStreams
}

// recv takes a message off the stream, with errors as grpc-go has them.
func (c *serverCall) recv() (direct.Message, error) {
	m, err := c.stream.Recv(&c.ctl)
	if err == nil || errors.Is(err, io.EOF) {
		return m, err
	}
	return m, c.recvError(err)
}

func (c *serverCall) recvError(err error) error {
	if large, ok := errors.AsType[*direct.MessageTooLargeError](err); ok {
		return tooLarge(large)
	}
	c.Canceled() // which may be under way: a handler that was told so sees it in its context
	return status.FromContextError(c.ctl.Err()).Err()
}

func (c *serverCall) unpacker() unpacker {
	return unpacker{c.stream.Request().Encoding, c.method.MaxRecv, codes.Unimplemented}
}

// transportStream is what grpc.SetHeader and its like find in the context.
type transportStream serverCall

// Method implements [grpc.ServerTransportStream].
func (t *transportStream) Method() string { return t.stream.Request().Method }

// SetHeader implements [grpc.ServerTransportStream].
func (t *transportStream) SetHeader(md metadata.MD) error { return (*serverCall)(t).setHeader(md) }

// SendHeader implements [grpc.ServerTransportStream].
func (t *transportStream) SendHeader(md metadata.MD) error { return (*serverCall)(t).sendHeader(md) }

// SetTrailer implements [grpc.ServerTransportStream].
func (t *transportStream) SetTrailer(md metadata.MD) error { return (*serverCall)(t).setTrailer(md) }

// out is what statistics say of a message that was sent.
func (p *payload) out(client bool) *stats.OutPayload {
	return &stats.OutPayload{
		Client: client, Payload: p.msg, SentTime: time.Now(),
		Length: p.size, CompressedLength: p.wire, WireLength: p.wire + messageHeader,
	}
}

// in is what statistics say of a message that was received.
func (n sizes) in(msg any, client bool) *stats.InPayload {
	return &stats.InPayload{
		Client: client, Payload: msg, RecvTime: time.Now(),
		Length: n.plain, CompressedLength: n.wire, WireLength: n.wire + messageHeader,
	}
}

// messageHeader is what a message's header takes in gRPC's framing. Ours differs, but
// what statistics count should not.
const messageHeader = 5
