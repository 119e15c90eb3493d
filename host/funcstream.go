package host

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
	"github.com/carp-rpc/carp-go/host/internal/bind"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// On the wire a stream of plain values is one of gRPC's. What the function
// returns are messages of one value each. What the caller sends is a message with
// the arguments, and then one for each value. In typed protobuf the values are
// fields of the response and the request, and the first value may come with the
// arguments.

// serveSpecial answers a call of a function with streams or references.
func (f *function) serveSpecial(c *call, codec args.Codec) error {
	if c.oneWay && f.sig.Follows() {
		return hostError(codes.InvalidArgument, "%s has streams or callbacks, and can't be called one-way", pathName(c.path))
	}
	defer c.endCallbacks()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	a := new(bind.Args)
	if !ownItems(codec) || !f.sig.TakesStream() {
		var err error
		if a, err = f.decode(c, codec); err != nil {
			return err
		}
	}
	in, err := f.arguments(c, a, f.before(nil, &ctx, c))
	if err != nil {
		return err
	}
	var stream *inStream
	if n := len(f.sig.Params); f.sig.TakesStream() {
		stream = &inStream{call: c, codec: itemCodec(codec), param: &f.sig.Params[n-1], first: a.FirstItem(), cancel: cancel}
		in = append(in, stream.value())
	}
	if c.oneWay {
		return f.post(c, in)
	}
	results, err := f.call(in)
	if stream != nil && stream.err() != nil {
		return stream.err() // the function has seen a part only
	}
	if err != nil {
		return err
	}
	if f.sig.Stream != bind.NoStream {
		return f.sendItems(ctx, c, codec, results[0])
	}
	if results, err = f.results(c, results); err != nil {
		return err
	}
	body, err := f.sig.EncodeResults(nil, codec, results)
	if err != nil {
		return replyError(c.path, err)
	}
	return c.send(raw.Of(body))
}

// ownItems tells that the values are generated messages, which are bodies
// themselves: none is for the arguments.
func ownItems(codec args.Codec) bool {
	m, ok := codec.(*synth.Method)
	return ok && m.Own()
}

// itemCodec is the codec of the values that a caller sends.
func itemCodec(codec args.Codec) args.Codec {
	if m, ok := codec.(*synth.Method); ok {
		return m.ClientItems()
	}
	return codec
}

// sendItems sends what a function returns one by one, until there are no more or
// the caller has gone; then the function's context ends.
func (f *function) sendItems(ctx context.Context, c *call, codec args.Codec, items reflect.Value) error {
	var failure error
	send := func(item reflect.Value) bool {
		err := f.sig.CarriesItem(item)
		var body []byte
		if err == nil {
			body, err = codec.Append(nil, item)
		}
		if err != nil {
			failure = replyError(c.path, err)
			return false
		}
		failure = c.send(raw.Of(body))
		return failure == nil
	}
	if items.IsNil() {
		return nil
	}
	switch f.sig.Stream {
	case bind.ChanStream:
		if err := receiveFrom(ctx, items, send); err != nil {
			failure = err
		}
	case bind.SeqStream:
		items.Seq()(send)
	default:
		items.Seq2()(func(item, err reflect.Value) bool {
			if e, ok := err.Interface().(error); ok {
				failure = &namedError{exception: exceptionOf(e), status: statusOf(e)}
				return false
			}
			return send(item)
		})
	}
	return failure
}

// receiveFrom sends what comes from a channel, until send fails or ctx ends. Whoever fills
// it sees in the function's context that nobody receives any more.
func receiveFrom(ctx context.Context, items reflect.Value, send func(reflect.Value) bool) error {
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: items},
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())},
	}
	for {
		chosen, item, open := reflect.Select(cases)
		if chosen == 1 {
			return ctx.Err()
		}
		if !open || !send(item) {
			return nil
		}
	}
}

// inStream is what the caller of a function sends one by one.
type inStream struct {
	call   *call
	codec  args.Codec
	param  *bind.Param
	first  *args.Raw
	cancel context.CancelFunc // ends the function's context

	mu     sync.Mutex
	failed error
}

// value is the stream as the function takes it. When it breaks off, an iter.Seq
// just ends; the function's context ends too, and the call fails whatever the
// function returns.
func (s *inStream) value() reflect.Value {
	return reflect.MakeFunc(s.param.Go, func(in []reflect.Value) []reflect.Value {
		s.each(in[0])
		return nil
	})
}

func (s *inStream) each(yield reflect.Value) {
	for {
		item, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			s.fail(err)
			if s.param.Stream == bind.ErrStream {
				yield.Call([]reflect.Value{reflect.Zero(s.param.Type), errorValue(err)})
			}
			return
		}
		out := []reflect.Value{item}
		if s.param.Stream == bind.ErrStream {
			out = append(out, errorValue(nil))
		}
		if !yield.Call(out)[0].Bool() {
			return
		}
	}
}

func errorValue(err error) reflect.Value {
	v := reflect.New(errorType).Elem()
	if err != nil {
		v.Set(reflect.ValueOf(err))
	}
	return v
}

func (s *inStream) fail(err error) {
	s.mu.Lock()
	s.failed = err
	s.mu.Unlock()
	s.cancel()
}

func (s *inStream) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *inStream) next() (reflect.Value, error) {
	item := reflect.New(s.param.Type).Elem()
	if piece := s.first; piece != nil {
		s.first = nil
		return item, s.fit(s.codec.Decode(*piece, item))
	}
	msg, err := s.call.receive()
	if err != nil {
		return item, err
	}
	defer msg.Free()
	piece, err := s.codec.Check(msg.Data)
	if err == nil {
		err = s.codec.Decode(piece, item)
	}
	return item, s.fit(err)
}

// fit makes what is wrong with a value the caller's fault.
func (s *inStream) fit(err error) error {
	if err == nil {
		return nil
	}
	return hostErrorAs(exceptionBind, codes.InvalidArgument, "%s: argument %q: a value of the stream: %v",
		pathName(s.call.path), s.param.Name, err)
}
