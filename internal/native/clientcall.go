package native

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/direct"
)

// clientCall is what the caller asked for. It doesn't change once there is an attempt at it.
type clientCall struct {
	client *Client
	ctx    context.Context // the caller's
	method string
	desc   *grpc.StreamDesc
	info   callInfo
	md     metadata.MD       // outgoing, of the caller
	raw    *bothways.RawCall // or nil

	start  time.Time // for statistics
	waited bool      // for a connection
}

// begin finds out whether the call can be made, and by whom: it returns a client of grpc-go's
// if the server knows no direct transport.
func (c *clientCall) begin(opts []grpc.CallOption) (grpc.ClientConnInterface, error) {
	if err := c.info.read(opts, c.raw); err != nil {
		return nil, err
	}
	if err := c.ctx.Err(); err != nil {
		return nil, toStatus(err)
	}
	c.md, _ = metadata.FromOutgoingContext(c.ctx)
	if err := validate(c.md); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if len(c.client.cfg.Stats) > 0 {
		c.start = time.Now()
	}
	if find := c.client.cfg.HTTP2; find != nil {
		var cc grpc.ClientConnInterface
		if cc, c.waited = find(c.ctx, c.info.waitForReady); cc != nil {
			return cc, nil
		}
	}
	return nil, c.info.refused
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

// ended tells those who asked to be told that the call has ended.
func (c *clientCall) ended(err error) {
	for _, f := range c.info.finish {
		f(err)
	}
}

// attempt is one try at a call. There is a second one only if the server has not looked at
// the first.
type attempt struct {
	call *clientCall
	ctx  context.Context // the call's, with what statistics put around it
	md   metadata.MD     // outgoing, with what statistics put in: the trace, for one

	conn   *Conn
	stream *direct.Stream
	pairs  [14]string // room for what is sent beside md
	begin  time.Time  // for statistics
	tries  int        // attempts before this one
	over   bool       // statistics were told of the end

	gotFirst  bool
	sawHeader atomic.Bool // statistics were told of the header
}

// open opens the stream, on a connection that there is or comes to be, and sends the message
// of a unary call with it. If that fails before a server can have seen anything, it tries
// again.
func (a *attempt) open(msg *payload) error {
	for {
		err := a.tag()
		if err == nil {
			err = a.openOnce(msg)
		}
		if err == nil {
			return nil
		}
		if a.call.client.cfg.Back || !unseen(err) {
			return a.callError(err)
		}
		a.endStat(a.callError(err))
		a.tries++
	}
}

// unseen tells whether an error of opening a stream leaves the call free to try another
// connection.
func unseen(err error) bool {
	if _, sent := errors.AsType[*direct.SentError](err); sent {
		return false
	}
	return errors.Is(err, direct.ErrGoAway) || errors.Is(err, direct.ErrPeerGone) ||
		errors.Is(err, direct.ErrProtocol) || errors.Is(err, direct.ErrClosed)
}

func (a *attempt) openOnce(msg *payload) error {
	if err := a.pick(); err != nil {
		return err
	}
	c := a.call
	req := direct.Request{
		Method:    c.method,
		Authority: c.client.cfg.Authority,
		Subtype:   c.info.subtype,
		Encoding:  c.info.compressor,
		MD:        sendable(a.md),
	}
	if c.info.authority != "" {
		if err := checkAuthority(a.conn.Peer, c.info.authority); err != nil {
			return err
		}
		req.Authority = c.info.authority
	}
	if d, ok := a.ctx.Deadline(); ok {
		if req.Timeout = time.Until(d); req.Timeout <= 0 {
			return context.DeadlineExceeded
		}
	}
	req.Pairs = append(a.pairs[:0],
		":authority", req.Authority,
		"content-type", contentType(req.Subtype),
		"user-agent", c.client.cfg.UserAgent,
	)
	if c.raw != nil {
		req.Pairs = append(req.Pairs, c.raw.Pairs...)
	}
	auth, err := a.authenticate(req.Authority)
	if err != nil {
		return err
	}
	if auth != nil {
		req.Pairs = append(req.Pairs, auth...)
	}
	if most := a.conn.theirs.maxHeader; most > 0 && requestSize(&req) > most {
		return headerTooLarge(most)
	}
	opt := direct.OpenOptions{MaxRecv: c.info.maxRecv}
	if msg != nil {
		opt.Unary, opt.Message, opt.Packed = true, msg.data, msg.packed
	}
	if a.stream, err = a.conn.Open(a.ctx, &req, &opt); err != nil {
		return err
	}
	a.opened(req.Authority, msg)
	return nil
}

func headerTooLarge(most int) error {
	return status.Errorf(codes.Internal, "header list size to send violates the maximum size (%d bytes) set by server", most)
}

// pick takes the connection that there is, or waits for one.
func (a *attempt) pick() error {
	cfg := &a.call.client.cfg
	waited := a.call.waited && a.tries == 0
	a.conn = cfg.Ready()
	if a.conn == nil {
		var err error
		if a.conn, err = cfg.Pick(a.call.ctx, a.call.info.waitForReady); err != nil {
			return err
		}
		waited = true
	}
	if waited && a.counting() {
		a.stat(&stats.DelayedPickComplete{})
	}
	return nil
}

// opened tells statistics what was sent.
func (a *attempt) opened(authority string, msg *payload) {
	if !a.counting() {
		return
	}
	a.ctx = peer.NewContext(a.ctx, a.conn.Peer)
	header := a.md.Copy()
	if header == nil {
		header = metadata.MD{}
	}
	header.Set("user-agent", a.call.client.cfg.UserAgent)
	if rc := a.call.raw; rc != nil {
		for i := 0; i+1 < len(rc.Pairs); i += 2 {
			header.Append(rc.Pairs[i], rc.Pairs[i+1])
		}
	}
	a.stat(&stats.OutHeader{
		Client: true, FullMethod: a.call.method, Compression: a.call.info.compressor, Header: header,
		RemoteAddr: a.conn.Peer.Addr, LocalAddr: a.conn.Peer.LocalAddr, Authority: authority,
	})
	if msg != nil {
		a.stat(msg.out(true))
	}
}

func (a *attempt) counting() bool { return len(a.call.client.cfg.Stats) > 0 }

func (a *attempt) stat(s stats.RPCStats) {
	for _, h := range a.call.client.cfg.Stats {
		h.HandleRPC(a.ctx, s)
	}
}

// tag tells statistics that the attempt begins. What they add to the outgoing metadata goes
// with it.
func (a *attempt) tag() error {
	a.ctx, a.md = a.call.ctx, a.call.md
	if !a.counting() {
		return nil
	}
	failFast := !a.call.info.waitForReady
	if a.begin = a.call.start; a.tries > 0 {
		a.begin = time.Now()
	}
	for _, h := range a.call.client.cfg.Stats {
		a.ctx = h.TagRPC(a.ctx, &stats.RPCTagInfo{FullMethodName: a.call.method, FailFast: failFast})
	}
	a.stat(&stats.Begin{
		Client: true, BeginTime: a.begin, FailFast: failFast,
		IsClientStream: a.call.desc.ClientStreams, IsServerStream: a.call.desc.ServerStreams,
		IsTransparentRetryAttempt: a.tries > 0,
	})
	a.md, _ = metadata.FromOutgoingContext(a.ctx)
	if err := validate(a.md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// endStat tells statistics that an attempt without a stream, or whose stream was refused, is
// over.
func (a *attempt) endStat(err error) {
	if a.counting() {
		a.over = true
		a.stat(&stats.End{Client: true, BeginTime: a.begin, EndTime: time.Now(), Error: err})
	}
}

// refused tells whether the server sent the call back without looking at it, or said so when it
// went away, and may take it later.
func (a *attempt) refused() bool {
	if _, answered := a.stream.Trailer(); answered || !a.conn.theirs.serves {
		return false
	}
	reason := a.stream.Reason()
	if reason == nil {
		reason = a.conn.Err()
	}
	return errors.Is(reason, direct.ErrRefused)
}

// Times to wait before a refused call is made again. The server has as many handlers running
// as it wants, of calls that were cancelled: those under way wait in Open.
const (
	firstPause = time.Millisecond
	mostPauses = 7 // doublings
)

// next is the attempt after a refused one, when it is time for it. err is how a is over.
func (a *attempt) next(err error) (*attempt, error) {
	a.endStat(err)
	if !a.conn.Draining() {
		timer := time.NewTimer(firstPause << min(a.tries, mostPauses))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-a.call.ctx.Done():
			return nil, toStatus(a.call.ctx.Err())
		}
	}
	return &attempt{call: a.call, tries: a.tries + 1}, nil
}
