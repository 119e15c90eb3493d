package native

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/internal/bothways"
	"github.com/carp-rpc/carp-go/internal/direct"
)

// ClientConfig is what a client is made of.
type ClientConfig struct {
	// Ready is the connection that there is to make a call on, or nil.
	Ready func() *Conn

	// Pick is the connection to make a call on. It waits for one within ctx: as long as it
	// takes if waitForReady, and otherwise until an attempt to connect has failed. Its errors
	// have a status, but for those of ctx.
	Pick func(ctx context.Context, waitForReady bool) (*Conn, error)

	// Back says that there is one connection only, which the other end made: calls are not
	// made again on another one.
	Back bool

	// HTTP2 is a client of grpc-go's for servers that know no direct transport, or nil.
	// It waits as Pick does until that is known, and tells whether it had to. What it
	// returns is for one call. It may be nil itself.
	HTTP2 func(ctx context.Context, waitForReady bool) (cc grpc.ClientConnInterface, waited bool)

	// Closed ends when the client is closed, for streams that nobody reads. Nil never does.
	Closed context.Context

	// Stub is what interceptors get as their *grpc.ClientConn. It isn't dialled.
	Stub *grpc.ClientConn

	Unary  grpc.UnaryClientInterceptor  // or nil
	Stream grpc.StreamClientInterceptor // or nil
	Stats  []stats.Handler

	CallOptions []grpc.CallOption // of all calls, before their own
	PerRPC      []credentials.PerRPCCredentials
	Authority   string
	UserAgent   string
}

// Client makes calls. Its methods may be called from many goroutines at once.
type Client struct {
	cfg ClientConfig
}

var _ grpc.ClientConnInterface = (*Client)(nil)

// DefaultAuthority is the authority of calls whose client has none of its own.
const DefaultAuthority = "localhost"

// DefaultUserAgent is what grpc-go sends: what is behind the calls is its semantics.
const DefaultUserAgent = "grpc-go/" + grpc.Version

// NewClient makes a client.
func NewClient(cfg ClientConfig) *Client { return &Client{cfg: cfg} }

// Invoke implements [grpc.ClientConnInterface].
func (c *Client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	opts = c.options(opts)
	if c.cfg.Unary != nil {
		return c.cfg.Unary(ctx, method, args, reply, c.cfg.Stub, c.invoke, opts...)
	}
	return c.invoke(ctx, method, args, reply, nil, opts...)
}

// NewStream implements [grpc.ClientConnInterface].
func (c *Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	opts = c.options(opts)
	if c.cfg.Stream != nil {
		return c.cfg.Stream(ctx, desc, c.cfg.Stub, method, c.newStream, opts...)
	}
	return c.newStream(ctx, desc, nil, method, opts...)
}

// options puts the options of all calls before those of one.
func (c *Client) options(opts []grpc.CallOption) []grpc.CallOption {
	switch {
	case len(c.cfg.CallOptions) == 0:
		return opts
	case len(opts) == 0:
		return c.cfg.CallOptions
	}
	all := make([]grpc.CallOption, 0, len(c.cfg.CallOptions)+len(opts))
	return append(append(all, c.cfg.CallOptions...), opts...)
}

// InvokeRaw implements [bothways.RawInvoker].
func (c *Client) InvokeRaw(ctx context.Context, rc *bothways.RawCall) error {
	if c.cfg.Unary != nil || len(c.cfg.CallOptions) > 0 {
		return rc.Invoke(ctx, c)
	}
	call := unaryCalls.Get().(*unaryCall)
	defer call.free()
	call.client, call.ctx, call.method, call.desc = c, ctx, rc.Method, unaryDesc
	call.raw = rc
	cc, err := call.begin(rc.Options)
	switch {
	case err != nil:
		call.ended(err)
		return err
	case cc != nil:
		return rc.Invoke(ctx, cc)
	}
	err = call.run(&rc.Message, &rc.Reply)
	if err == ErrHTTP2 { //nolint:errorlint // as Pick returned it
		return c.InvokeRaw(ctx, rc)
	}
	return err
}

var _ bothways.RawInvoker = (*Client)(nil)

// invoke makes a unary call. It has the type of a [grpc.UnaryInvoker]; the connection among
// its arguments is the stub, and of no use.
func (c *Client) invoke(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	call := unaryCalls.Get().(*unaryCall)
	defer call.free()
	call.client, call.ctx, call.method, call.desc = c, ctx, method, unaryDesc
	cc, err := call.begin(opts)
	switch {
	case err != nil:
		call.ended(err)
		return err
	case cc != nil:
		return cc.Invoke(ctx, method, args, reply, opts...)
	}
	err = call.run(args, reply)
	if err == ErrHTTP2 { //nolint:errorlint // as Pick returned it
		return c.invoke(ctx, method, args, reply, nil, opts...)
	}
	return err
}

// ErrHTTP2 is what Pick returns if the server turned out to know no direct transport after
// HTTP2 had said otherwise.
var ErrHTTP2 = status.Error(codes.Unavailable, "the server knows no direct transport")

// unaryCall is a call and the one attempt that it takes nearly always.
type unaryCall struct {
	clientCall

	first attempt
}

// unaryCalls keeps the memory of calls. Nobody knows of a call when invoke has returned: what
// interceptors, codecs, statistics and credentials get is the caller's or made for them.
var unaryCalls = sync.Pool{New: func() any { return new(unaryCall) }}

func (c *unaryCall) free() {
	*c = unaryCall{}
	unaryCalls.Put(c)
}

// run makes the attempts that it takes.
func (c *unaryCall) run(args, reply any) error {
	msg, encodeErr := c.encode(args)
	defer msg.free()
	c.first.call = &c.clientCall
	for a := &c.first; ; {
		if encodeErr != nil {
			_ = a.tag() // the other error comes first
			return a.fail(encodeErr)
		}
		if err := a.open(&msg); err != nil {
			return a.fail(err)
		}
		err := a.recvOne(reply)
		if err == nil || !a.refused() {
			a.finish(err)
			a.stream.Recycle()
			return err
		}
		next, pauseErr := a.next(err)
		if pauseErr != nil {
			c.ended(pauseErr)
			return pauseErr
		}
		a = next
	}
}

var unaryDesc = &grpc.StreamDesc{}

// newStream begins a stream. It has the type of a [grpc.Streamer].
func (c *Client) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &clientStream{clientCall: clientCall{client: c, ctx: ctx, method: method, desc: desc}}
	cc, err := s.begin(opts)
	switch {
	case err != nil:
		s.ended(err)
		return nil, err
	case cc != nil:
		return cc.NewStream(ctx, desc, method, opts...)
	}
	err = s.open()
	switch {
	case err == ErrHTTP2: //nolint:errorlint // as Pick returned it
		return c.newStream(ctx, desc, nil, method, opts...)
	case err != nil:
		return nil, err
	}
	return s, nil
}

// callError is the error, with a status, of an attempt that failed.
func (a *attempt) callError(err error) error {
	if sent, ok := errors.AsType[*direct.SentError](err); ok {
		err = sent.Err
	}
	if large, ok := errors.AsType[*direct.MessageTooLargeError](err); ok {
		return tooLarge(large)
	}
	switch {
	case errors.Is(err, direct.ErrClosed) && a.call.client.cfg.Back:
		return errConnClosing
	case errors.Is(err, direct.ErrClosed):
		return ErrClientClosing
	case errors.Is(err, direct.ErrPeerGone):
		return status.Error(codes.Unavailable, "error reading from server: the server's end of the connection is gone")
	case errors.Is(err, direct.ErrProtocol):
		return status.Error(codes.Unavailable, "connection given up: "+err.Error())
	case errors.Is(err, direct.ErrTooLarge):
		return headerTooLarge(direct.MaxBlock)
	case errors.Is(err, direct.ErrRefused), errors.Is(err, direct.ErrGoAway):
		return status.Error(codes.Unavailable, "the server takes no calls: "+err.Error())
	case errors.Is(err, direct.ErrCanceled):
		return a.givenUp()
	}
	return toStatus(err)
}

// givenUp is the error of a call that the server gave up without a status: it could not
// send one before the call's deadline.
func (a *attempt) givenUp() error {
	code := codes.Canceled
	if d, ok := a.call.ctx.Deadline(); ok && !d.After(time.Now()) {
		code = codes.DeadlineExceeded
	}
	return status.Error(code, "the server gave the call up")
}
