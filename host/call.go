package host

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// A wire is one incoming call as its transport shows it to the dispatcher: an
// HTTP/2 stream, a call on a link, a local call. Recv is called by one goroutine
// at a time, and so are send and sendHeader.
type wire interface {
	// recv returns the next request message, which the caller frees, or io.EOF
	// after the last.
	recv() (raw.Message, error)
	// sendHeader is called at most once, before the first send.
	sendHeader(metadata.MD) error
	// send takes the message over, and calls sent, unless that is nil, when it doesn't
	// wait for the peer any more.
	send(msg raw.Message, sent func()) error
}

// call is an incoming call in the dispatcher. It is what [grpc.SetHeader] and
// [grpc.SetTrailer] work on, whatever the wire. What the wire knows of it is set before
// it is dispatched.
type call struct {
	host   *Host
	values callValues
	ctx    context.Context // values, and what interceptors put around them
	path   string
	link   *Link  // over which it came, or to which it belongs; nil for none
	codec  string // as the caller tagged it; "" is protobuf
	callFlags
	wire wire
	// maxReceive bounds the messages of a call. The transport's own bound may be
	// larger: it has to let the frames of links through.
	maxReceive int
	answers    *room    // for what is sent; nil without bound
	counter    *counter // of what is called; nil until it is known

	recv []reflect.Value // the object whose method is called, or empty
	done func()          // lets it go, or nil

	room [smallBody]byte // for the reply of a plain function

	mu         sync.Mutex
	callbacks  []*reference // functions that are arguments
	retained   bool         // beyond the call
	header     metadata.MD
	headerSent bool
	trailer    metadata.MD
}

// smallBody is how large an encoded message may be that needs no memory of its own.
const smallBody = 96

var _ grpc.ServerTransportStream = (*call)(nil)

// Method implements [grpc.ServerTransportStream].
func (c *call) Method() string { return c.path }

// SetHeader implements [grpc.ServerTransportStream].
func (c *call) SetHeader(md metadata.MD) error {
	if err := checkMetadata(md); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headerSent {
		return status.Error(codes.Internal, "the header has been sent")
	}
	c.header = metadata.Join(c.header, md)
	return nil
}

// SendHeader implements [grpc.ServerTransportStream].
func (c *call) SendHeader(md metadata.MD) error {
	if err := c.SetHeader(md); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headerSent = true
	return c.wire.sendHeader(c.header)
}

// SetTrailer implements [grpc.ServerTransportStream].
func (c *call) SetTrailer(md metadata.MD) error {
	if err := checkMetadata(md); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// flushHeader sends the header, if that hasn't happened. An empty one goes with
// the first message.
func (c *call) flushHeader() error {
	c.mu.Lock()
	header, sent := c.header, c.headerSent
	c.headerSent = true
	c.mu.Unlock()
	if sent || len(header) == 0 {
		return nil
	}
	return c.wire.sendHeader(header)
}

func (c *call) send(msg raw.Message) error {
	if err := c.flushHeader(); err != nil {
		return err
	}
	n := msg.Len() // the wire takes the message over
	sent, ok := c.answers.take(n)
	if !ok {
		msg.Free()
		return c.errUnread(n)
	}
	err := c.wire.send(msg, sent)
	if hook := c.host.hooks.Message; hook != nil && err == nil {
		hook(c.ctx, MessageInfo{Path: c.path, Sent: true, Size: n})
	}
	return err
}

// receive returns the next message, or io.EOF after the last.
func (c *call) receive() (raw.Message, error) {
	msg, err := c.wire.recv()
	if n := msg.Len(); err == nil && n > c.maxReceive {
		msg.Free()
		return msg, hostError(codes.ResourceExhausted, "%s: the request has %d bytes, at most %d are taken",
			pathName(c.path), n, c.maxReceive)
	}
	if hook := c.host.hooks.Message; hook != nil && err == nil {
		hook(c.ctx, MessageInfo{Path: c.path, Size: msg.Len()})
	}
	return msg, err
}

// receiveOne returns the message of a call that has one.
func (c *call) receiveOne() (raw.Message, error) {
	msg, err := c.receive()
	if errors.Is(err, io.EOF) {
		return msg, hostError(codes.InvalidArgument, "%s: the call has no request message", pathName(c.path))
	}
	return msg, err
}

// An endpoint is what a path leads to. The error is what the call ends with.
type endpoint interface {
	serve(c *call) error
	// announce is what peers are told of it, under its name.
	announce(name string) *carpv1.Method
}

// dispatch runs one incoming call: the only way to anything that this host serves.
// It returns the trailer. The error, if any, is a status.
func (h *Host) dispatch(c *call) (metadata.MD, error) {
	c.host, c.maxReceive = h, h.maxMessage
	if c.codec == "" {
		c.codec = protoCodec
	}
	c.values.call = c
	c.ctx = c.values.context()
	err := h.observed(c)
	if headerErr := c.flushHeader(); err == nil {
		err = headerErr
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	trailer := c.trailer
	if err == nil {
		return trailer, nil
	}
	st, trailer := answer(err, trailer)
	return trailer, st.Err()
}

func (h *Host) run(c *call) error {
	if c.stray != "" {
		c.refuse()
		return errReserved(c.stray)
	}
	if err := h.authorize(c); err != nil {
		c.refuse()
		return err
	}
	e, err := h.exports.find(c.path)
	if err != nil {
		c.refuse()
		return err
	}
	if !h.begin(e) {
		c.refuse()
		return hostError(codes.Unavailable, "host %q is shutting down", h.label)
	}
	defer h.end(e)
	if isInternalStream(e) {
		c.maxReceive = maxFrame
	}
	c.counter = h.counts.enter(c.path)
	return h.intercepted(c, e)
}

// refuse says in the trailer that the call is not handed to user code: it may be
// made elsewhere.
func (c *call) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailer = metadata.Join(c.trailer, metadata.Pairs(link.RefusedKey, "1"))
}

// wantSession says in the trailer that the call is refused for want of a link or
// session.
func (c *call) wantSession() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailer = metadata.Join(c.trailer, metadata.Pairs(wantsSessionKey, "1"))
}

// errUnknownCodec answers a call in a codec that its endpoint doesn't speak.
func (c *call) errUnknownCodec(known string) error {
	c.acceptCodecs(known)
	return hostError(codes.Unimplemented, "%s: the codec %q is not known; known are %s", pathName(c.path), c.codec, known)
}

// errNoTypedForm answers a call in typed protobuf to a function that protobuf
// can't express, for err.
func (c *call) errNoTypedForm(err error) error {
	c.acceptCodecs(dynamicCodecs)
	return hostError(codes.Unimplemented, "%s can't be called with the codec %q, but with %s: %v",
		pathName(c.path), c.codec, dynamicCodecs, err)
}

// acceptCodecs says in the trailer which codecs there are.
func (c *call) acceptCodecs(known string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailer = metadata.Join(c.trailer, metadata.Pairs(acceptCodecKey, known))
}
