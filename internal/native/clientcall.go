package native

import (
	"context"
	"errors"
	"io"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// clientCall is what unary calls and streams have in common.
type clientCall struct {
	client *Client
	ctx    context.Context
	method string
	desc   *grpc.StreamDesc
	info   callInfo

	conn   *Conn
	stream *direct.Stream
	begin  time.Time // of the attempt; for statistics

	gotFirst  bool
	sawHeader atomic.Bool // statistics were told of the header
}

// encode encodes a message within the limit.
func (c *clientCall) encode(msg any) (payload, error) {
	p, err := encode(c.info.codec, c.info.plain, c.info.comp, msg)
	if err != nil {
		return payload{}, err
	}
	if len(p.data) > c.info.maxSend {
		n := len(p.data)
		p.free()
		return payload{}, status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", n, c.info.maxSend)
	}
	p.msg = msg
	return p, nil
}

// open opens the stream, on a connection that there is or comes to be, and sends the message
// of a unary call with it. A request that no server has looked at is sent again.
func (c *clientCall) open(msg *payload) error {
	if err := c.ctx.Err(); err != nil {
		return toStatus(err)
	}
	md, _ := metadata.FromOutgoingContext(c.ctx)
	if err := validate(md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	c.tag()
	for {
		conn, err := c.client.cfg.Pick(c.ctx, c.info.waitForReady)
		if err != nil {
			return toStatus(err)
		}
		c.conn = conn
		err = c.openOn(conn, md, msg)
		if err == nil || !unseen(err) {
			return err
		}
	}
}

// unseen tells whether an error of Open leaves the call free to try another connection.
func unseen(err error) bool {
	return errors.Is(err, direct.ErrGoAway) || errors.Is(err, direct.ErrPeerGone) || errors.Is(err, direct.ErrProtocol)
}

func (c *clientCall) openOn(conn *Conn, md metadata.MD, msg *payload) error {
	req := direct.Request{
		Method:    c.method,
		Authority: c.client.cfg.Authority,
		Subtype:   c.info.subtype,
		Encoding:  c.info.compressor,
		MD:        sendable(md),
	}
	if c.info.authority != "" {
		if err := checkAuthority(conn.Peer, c.info.authority); err != nil {
			return err
		}
		req.Authority = c.info.authority
	}
	if d, ok := c.ctx.Deadline(); ok {
		if req.Timeout = time.Until(d); req.Timeout <= 0 {
			return toStatus(context.DeadlineExceeded)
		}
	}
	own := [...]string{
		":authority", req.Authority,
		"content-type", contentType(req.Subtype),
		"user-agent", c.client.cfg.UserAgent,
	}
	req.Pairs = own[:]
	auth, err := c.authenticate(conn.Peer, req.Authority)
	if err != nil {
		return err
	}
	if auth != nil {
		req.Pairs = append(req.Pairs, auth...)
	}
	opt := direct.OpenOptions{MaxRecv: c.info.maxRecv}
	if msg != nil {
		opt.Unary, opt.Message, opt.Packed = true, msg.data, msg.packed
	}
	s, err := conn.Open(c.ctx, &req, &opt)
	if err != nil {
		if unseen(err) {
			return err
		}
		return callError(err)
	}
	c.stream = s
	c.opened(req.Authority, md, msg)
	return nil
}

// opened tells statistics what was sent.
func (c *clientCall) opened(authority string, md metadata.MD, msg *payload) {
	if !c.counting() {
		return
	}
	header := md.Copy()
	if header == nil {
		header = metadata.MD{}
	}
	header.Set("user-agent", c.client.cfg.UserAgent)
	c.stat(&stats.OutHeader{
		Client: true, FullMethod: c.method, Compression: c.info.compressor, Header: header,
		RemoteAddr: c.conn.Peer.Addr, LocalAddr: c.conn.Peer.LocalAddr, Authority: authority,
	})
	if msg != nil {
		c.stat(msg.out(true))
	}
}

func (c *clientCall) counting() bool { return len(c.client.cfg.Stats) > 0 }

func (c *clientCall) stat(s stats.RPCStats) {
	for _, h := range c.client.cfg.Stats {
		h.HandleRPC(c.ctx, s)
	}
}

// tag tells statistics that the call begins.
func (c *clientCall) tag() {
	if !c.counting() {
		return
	}
	failFast := !c.info.waitForReady
	c.begin = time.Now()
	for _, h := range c.client.cfg.Stats {
		c.ctx = h.TagRPC(c.ctx, &stats.RPCTagInfo{FullMethodName: c.method, FailFast: failFast})
	}
	c.stat(&stats.Begin{
		Client: true, BeginTime: c.begin, FailFast: failFast,
		IsClientStream: c.desc.ClientStreams, IsServerStream: c.desc.ServerStreams,
	})
}

// recvOne receives the one message of a call, and its end.
func (c *clientCall) recvOne(msg any) error {
	if err := c.recv(msg); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	m, err := c.stream.Recv(c.ctx)
	switch {
	case err == nil:
		m.Free()
		return status.Error(codes.Internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message")
	case errors.Is(err, io.EOF):
		return c.status()
	default:
		return callError(err)
	}
}

// recv receives a message. At the end it returns the call's status, or io.EOF for OK.
func (c *clientCall) recv(msg any) error {
	m, err := c.stream.Recv(c.ctx)
	if errors.Is(err, io.EOF) {
		if err := c.status(); err != nil {
			return err
		}
		if !c.desc.ServerStreams && !c.gotFirst {
			return status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC")
		}
		return io.EOF
	}
	if err != nil {
		return callError(err)
	}
	u := unpacker{limit: c.info.maxRecv, code: codes.Internal}
	if m.Packed {
		u.name = c.replyEncoding()
	}
	c.noteHeader()
	n, err := decode(c.info.codec, c.info.plain, u, m, msg)
	if err != nil {
		return err
	}
	c.gotFirst = true
	if c.counting() {
		c.stat(n.in(msg, true))
	}
	return nil
}

// replyEncoding is how the server compresses messages. Its header comes before them.
func (c *clientCall) replyEncoding() string {
	md, _ := c.stream.HasHeader()
	if v := md.Get(encodingKey); len(v) > 0 {
		return v[0]
	}
	return ""
}

// status is how the server ended the call: nil for OK.
func (c *clientCall) status() error {
	t, ok := c.stream.Trailer()
	if !ok {
		return nil
	}
	if malformed(t) {
		return status.Errorf(codes.Unknown, "transport: malformed grpc-status: strconv.ParseInt: parsing %q: value out of range", strconv.FormatUint(uint64(t.Code), 10))
	}
	if d := t.MD[detailsKey]; len(d) == 1 {
		return detailed(t, d[0])
	}
	if t.Code == codes.OK {
		return nil
	}
	return status.Error(t.Code, t.Message)
}

// malformed tells whether a trailer has a code that gRPC over HTTP/2 has no room for.
func malformed(t *direct.Trailer) bool { return t.Code > math.MaxInt32 }

// detailed is the status of a trailer with details. They must be about the same.
func detailed(t *direct.Trailer, details string) error {
	p := status.New(codes.Unknown, "").Proto()
	if err := proto.Unmarshal([]byte(details), p); err != nil {
		return status.Error(codes.Internal, "transport: malformed grpc-status-details-bin: "+err.Error())
	}
	if codes.Code(p.GetCode()) != t.Code { //nolint:gosec // as it was put in
		return status.Errorf(codes.Internal, "grpc-status-details-bin mismatch: grpc-status=%v, grpc-message=%q, grpc-status-details-bin=%+v", t.Code, t.Message, p)
	}
	return status.FromProto(p).Err()
}

// header is the server's header as users see it, or nil.
func (c *clientCall) header() metadata.MD {
	md, ok := c.stream.HasHeader()
	if !ok {
		return nil
	}
	md = md.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	delete(md, encodingKey)
	md["content-type"] = []string{contentType(c.info.subtype)}
	return md
}

// trailer is the server's trailer as users see it, or nil.
func (c *clientCall) trailer() metadata.MD {
	t, ok := c.stream.Trailer()
	if !ok {
		return metadata.MD{}
	}
	md := t.MD.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	if _, ok := c.stream.HasHeader(); !ok && !malformed(t) { // then this is all the metadata that there is
		md["content-type"] = []string{contentType(c.info.subtype)}
	}
	return md
}

// fail ends a call whose stream could not be opened.
func (c *clientCall) fail(err error) error {
	if !c.begin.IsZero() {
		c.stat(&stats.End{Client: true, BeginTime: c.begin, EndTime: time.Now(), Error: err})
	}
	for _, f := range c.info.finish {
		f(err)
	}
	return err
}

// finish ends a call: the server is told if it doesn't know, and everybody who asked to be
// told is. A nil error is OK.
func (c *clientCall) finish(err error) {
	c.stream.Cancel(err)
	c.stream.Release()
	if c.counting() {
		c.noteHeader()
		if _, ok := c.stream.Trailer(); ok {
			c.stat(&stats.InTrailer{Client: true, Trailer: c.trailer()})
		}
		c.stat(&stats.End{Client: true, BeginTime: c.begin, EndTime: time.Now(), Trailer: c.trailer(), Error: err})
	}
	for _, addr := range c.info.header {
		*addr = c.header()
	}
	for _, addr := range c.info.trailer {
		*addr = c.trailer()
	}
	for _, addr := range c.info.peer {
		*addr = *c.conn.Peer
	}
	for _, f := range c.info.finish {
		f(err)
	}
}

// noteHeader tells statistics of the server's header, once it has come.
func (c *clientCall) noteHeader() {
	if !c.counting() {
		return
	}
	if h := c.header(); h != nil && !c.sawHeader.Swap(true) {
		c.stat(&stats.InHeader{Client: true, Header: h, Compression: c.replyEncoding()})
	}
}
