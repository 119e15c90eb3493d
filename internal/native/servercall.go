package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/ctxkeys"
	"github.com/carp-rpc/carp-go/internal/direct"
)

// serverCall is one call being served: context, stream and transport stream in one piece of
// memory.
type serverCall struct {
	ctl    callContext     // ends when the call does
	ctx    context.Context // what the handler gets, which is ctl with values around it
	method *method
	stream *direct.Stream
	peer   *peer.Peer

	held payload // the reply of a single call, until its handler returns
	many bool    // its handler sends more than one after all

	codec    encoding.CodecV2
	plain    bool // codec is grpc-go's of protobuf
	comp     encoding.Compressor
	encoding string // of replies
	gotFirst bool

	mdOnce sync.Once
	md     metadata.MD // incoming

	mu      sync.Mutex
	header  metadata.MD
	trailer metadata.MD
	sent    bool // header
	done    bool // status
}

var (
	_ grpc.ServerStream          = (*serverCall)(nil)
	_ bothways.RawIncoming       = (*serverCall)(nil)
	_ grpc.ServerTransportStream = (*transportStream)(nil)
)

// serve is direct's way in.
func (m *method) serve(s *direct.Stream) {
	c := m.newCall(s)
	defer c.ctl.end(context.Canceled)
	if s.OnCancel(c) {
		return
	}
	if st := c.unfit(); st != nil {
		c.finish(st, payload{})
		return
	}
	c.tag()
	if st := m.whyNot(s.Request().Method); st != nil {
		c.finish(st, payload{})
		return
	}
	c.handle()
}

// unfit is the status of a call that is not looked at any further, or nil.
func (c *serverCall) unfit() *status.Status {
	most := c.method.server.cfg.MaxHeader
	switch {
	case c.ctl.Err() != nil:
		return status.New(codes.DeadlineExceeded, context.DeadlineExceeded.Error())
	case most > 0 && receivedSize(c.stream.Request(), c.incoming()) > most: // a client of ours does not send it
		return status.Convert(headerTooLarge(most))
	case c.method.name == "":
		return malformedName(c.stream.Request().Method)
	}
	return nil
}

func (m *method) newCall(s *direct.Stream) *serverCall {
	h := s.Handler().(*connHandler)
	r := s.Request()
	c := &serverCall{method: m, stream: s, peer: h.peer}
	c.ctl.parent, c.ctl.call = h.ctx, c
	if r.Timeout != 0 {
		c.ctl.deadline = time.Now().Add(r.Timeout)
	}
	c.ctx = &c.ctl
	if ctxkeys.Incoming == ctxkeys.None {
		c.ctx = metadata.NewIncomingContext(c.ctx, c.incoming())
	}
	if ctxkeys.Stream == ctxkeys.None {
		c.ctx = grpc.NewContextWithServerTransportStream(c.ctx, (*transportStream)(c))
	}
	c.codec = m.server.codec(r.Subtype)
	c.plain = isPlainProto(c.codec)
	return c
}

// incoming is the metadata that the call came with.
func (c *serverCall) incoming() metadata.MD {
	c.mdOnce.Do(func() { c.md = c.stream.Request().Metadata() })
	return c.md
}

// codec is the codec of a call with a content-subtype. As in grpc-go, an unknown one is
// taken for protobuf.
func (s *Server) codec(subtype string) encoding.CodecV2 {
	if s.cfg.Codec != nil {
		return s.cfg.Codec
	}
	if c := codecFor(subtype); c != nil {
		return c
	}
	return codecFor("")
}

// Canceled implements [direct.Canceler].
func (c *serverCall) Canceled() { c.ctl.end(context.Canceled) }

// tag tells statistics of the call.
func (c *serverCall) tag() {
	handlers := c.method.server.cfg.Stats
	if len(handlers) == 0 {
		return
	}
	r := c.stream.Request()
	for _, h := range handlers {
		c.ctx = h.TagRPC(c.ctx, &stats.RPCTagInfo{FullMethodName: r.Method})
	}
	md, _ := metadata.FromIncomingContext(c.ctx)
	c.stat(&stats.InHeader{
		FullMethod:  r.Method,
		RemoteAddr:  c.peer.Addr,
		LocalAddr:   c.peer.LocalAddr,
		Compression: r.Encoding,
		Header:      md,
	})
}

// counting tells whether anybody wants statistics.
func (c *serverCall) counting() bool { return len(c.method.server.cfg.Stats) > 0 }

func (c *serverCall) stat(s stats.RPCStats) {
	for _, h := range c.method.server.cfg.Stats {
		h.HandleRPC(c.ctx, s)
	}
}

// handle runs the handler and ends the call with what came of it.
func (c *serverCall) handle() {
	stat := c.counting()
	var begin time.Time
	if stat {
		begin = time.Now()
		b := &stats.Begin{BeginTime: begin}
		if d := c.method.stream; d != nil {
			b.IsClientStream, b.IsServerStream = d.ClientStreams, d.ServerStreams
		}
		c.stat(b)
	}
	var err error
	if stat {
		defer func() { // also when the handler ends its goroutine
			end := &stats.End{BeginTime: begin, EndTime: time.Now()}
			if err != nil && !errors.Is(err, io.EOF) {
				end.Error = toStatus(err)
			}
			c.stat(end)
		}()
	}
	if err = c.setUp(); err == nil {
		err = c.run()
	}
}

// setUp settles how messages are compressed.
func (c *serverCall) setUp() error {
	name := c.stream.Request().Encoding
	if name == "" || name == encoding.Identity {
		return nil
	}
	c.comp = encoding.GetCompressor(name)
	if c.comp == nil {
		st := status.Newf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", name)
		c.finish(st, payload{})
		return st.Err()
	}
	c.encoding = name
	return nil
}

// run runs the handler, sends the status, and returns what the handler did.
func (c *serverCall) run() error {
	var reply payload
	var err error
	if c.method.unary != nil {
		reply, err = c.runUnary()
	} else {
		err = c.runStream()
		reply = c.held
	}
	c.stream.Returned()
	if err == nil {
		c.finish(nil, reply)
		reply.free()
		return nil
	}
	reply.free()
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
		err = st.Err()
	}
	c.finish(st, payload{})
	return err
}

// runUnary runs the handler of a unary method. The reply that it returns is not sent yet.
func (c *serverCall) runUnary() (payload, error) {
	m := c.method
	reply, err := m.unary.Handler(m.impl, c.ctx, c.RecvMsg, m.server.cfg.Unary)
	if err != nil {
		return payload{}, err
	}
	p, err := c.encode(reply)
	if err != nil {
		c.abort(err)
	}
	return p, err
}

func (c *serverCall) runStream() error {
	d, intercept := c.method.stream, c.method.server.cfg.Stream
	if intercept == nil {
		return d.Handler(c.method.impl, c)
	}
	return intercept(c.method.impl, c, &grpc.StreamServerInfo{
		FullMethod:     c.stream.Request().Method,
		IsClientStream: d.ClientStreams,
		IsServerStream: d.ServerStreams,
	}, d.Handler)
}

// encode encodes a message within the limit.
func (c *serverCall) encode(msg any) (payload, error) {
	p, err := encode(c.codec, c.plain, c.comp, msg)
	if err != nil {
		return payload{}, err
	}
	if most := c.method.server.cfg.MaxSend; len(p.data) > most {
		n := len(p.data)
		p.free()
		return payload{}, status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", n, most)
	}
	p.msg, p.set = msg, true
	return p, nil
}

// abort ends the call with the status of an error of sending or receiving, before the
// handler returns. What that returns counts no more.
func (c *serverCall) abort(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		return
	}
	st, _ := status.FromError(toStatus(err))
	c.finish(st, payload{})
}

// finish ends the call on the wire, with the reply of a unary one if it has one, and its
// context. Only the first call does something. A nil status is OK.
func (c *serverCall) finish(st *status.Status, reply payload) {
	c.mu.Lock()
	if c.done || c.stream.Reason() != nil {
		c.mu.Unlock()
		return
	}
	c.done = true
	if err := c.ctl.Err(); err != nil { // its deadline
		c.mu.Unlock()
		c.stream.Finish(&c.ctl, nil, direct.Answer{}, &direct.Trailer{Code: codes.DeadlineExceeded, Message: err.Error()})
		return
	}
	var header metadata.MD
	if !c.sent && (reply.set || len(c.header) > 0) {
		c.sent = true
		header = c.wireHeader()
	}
	t := direct.Trailer{MD: sendable(c.trailer)}
	c.mu.Unlock()
	fillStatus(&t, st)
	if most := c.maxHeader(); most > 0 && max(c.headerSize(header), trailerSize(&t)) > most {
		c.cutOff(most)
		return
	}
	if header != nil && c.counting() {
		c.stat(&stats.OutHeader{Header: c.header.Copy(), Compression: c.encoding})
	}
	var answer direct.Answer
	if reply.set {
		answer = direct.Answer{Set: true, Data: reply.data, Packed: reply.packed}
	}
	// If there is no room by the call's deadline, the answer comes too late.
	c.stream.Finish(&c.ctl, header, answer, &t)
	c.ctl.end(context.Canceled)
	if !c.counting() {
		return
	}
	if reply.set {
		c.stat(reply.out(false))
	}
	c.stat(&stats.OutTrailer{Trailer: c.trailer.Copy()})
}

// maxHeader bounds the header lists that the client takes; 0 is no bound.
func (c *serverCall) maxHeader() int {
	if theirs := c.stream.Handler().(*connHandler).theirs.Load(); theirs != nil {
		return theirs.maxHeader
	}
	return 0
}

// headerSize is listSize of a header.
func (c *serverCall) headerSize(md metadata.MD) int {
	return listSize(pairSize(":status", "200")+pairSize("content-type", contentType(c.stream.Request().Subtype)), md)
}

// cutOff ends a call whose header or trailer the client would not take.
func (c *serverCall) cutOff(most int) {
	c.stream.Finish(&c.ctl, nil, direct.Answer{}, &direct.Trailer{
		Code:    codes.Internal,
		Message: fmt.Sprintf("header list size to send violates the maximum size (%d bytes) set by client", most),
	})
	c.ctl.end(context.Canceled)
}

// wireHeader is the header as it is sent: never nil, and with the encoding of messages
// under the name that HTTP/2 has for it.
func (c *serverCall) wireHeader() metadata.MD {
	md := sendable(c.header)
	if c.encoding != "" {
		md = metadata.Join(md, metadata.MD{encodingKey: {c.encoding}})
	}
	if md == nil {
		return noHeader
	}
	return md
}

// encodingKey is where a header says how messages are compressed.
const encodingKey = "grpc-encoding"

var noHeader = metadata.MD{}

// detailsKey is where a trailer has a status with details, marshalled.
const detailsKey = "grpc-status-details-bin"

// fillStatus puts a status into a trailer. Details of its own take the place of what the
// handler may have put there.
func fillStatus(t *direct.Trailer, st *status.Status) {
	if st == nil {
		return
	}
	t.Code = st.Code()
	// What is no valid UTF-8 comes out as it does by HTTP/2: each bad byte as U+FFFD.
	t.Message = string([]rune(st.Message()))
	p := st.Proto()
	if len(p.GetDetails()) == 0 {
		return
	}
	if b, err := proto.Marshal(p); err == nil {
		t.MD = metadata.Join(t.MD, nil) // a copy
		t.MD[detailsKey] = []string{string(b)}
	}
}
