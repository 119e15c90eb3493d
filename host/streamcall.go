package host

import (
	"context"
	"errors"
	"io"
	"iter"
	"reflect"
	"runtime"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/host/internal/bind"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// Stream calls an exported function that returns a stream, by name, and decodes
// its values as [Call] does its result:
//
//	for line, err := range host.Stream[string](ctx, h, "Log.Follow", "app") {
//
// The call is made when the loop begins. It ends with the loop: leaving it early
// stops the function. An error is the last thing that comes.
func Stream[T any](ctx context.Context, h *Host, name string, arguments ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var item T
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := h.streamDynamic(ctx, name, arguments, reflect.TypeFor[T]())
		defer func() { s.settle(err) }()
		for err == nil {
			item = *new(T)
			err = s.next(reflect.ValueOf(&item).Elem())
			if err == nil && !yield(item, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(*new(T), err)
		}
	}
}

func (h *Host) streamDynamic(ctx context.Context, name string, arguments []any, item reflect.Type) (*outStream, error) {
	d, err := h.newDynamic(name, arguments, item, nil)
	if err != nil {
		return nil, err
	}
	d.request.stream = &grpc.StreamDesc{StreamName: d.request.demand.method, ServerStreams: true}
	s := &outStream{path: d.request.path, codec: d.codec, passing: d.passing}
	s.messages, err = h.openStream(ctx, &d.request)
	if err != nil {
		s.messages = nil
		return s, d.request.failed(err, nil)
	}
	return s, nil
}

// outStream is what a called function returns one by one.
type outStream struct {
	path     string
	codec    args.Codec
	messages messages
	passing  *passing // references among the arguments, or nil
}

// settle ends what was lent for the call.
func (s *outStream) settle(err error) {
	if s == nil || s.passing == nil {
		return
	}
	var trailer metadata.MD
	if s.messages != nil {
		trailer = s.messages.trailer()
	}
	s.passing.settle(trailer, err)
}

// next decodes the next value. The error is io.EOF after the last, or an *Error.
func (s *outStream) next(into reflect.Value) error {
	msg, err := s.messages.recv()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return sentError(s.path, err, s.messages.trailer())
	}
	defer msg.Free()
	piece, err := s.codec.Check(msg.Data)
	if err == nil {
		err = s.codec.Decode(piece, into)
	}
	if err != nil {
		return sentError(s.path, status.Errorf(codes.Internal, "a value of the stream: %v", err), nil)
	}
	return nil
}

// openFor opens the call of a required function with streams.
func (r *required) openFor(ctx context.Context, cancel context.CancelCauseFunc, v *invocation) (*outStream, error) {
	fail := func(err error) error {
		return callError(r.path, status.Error(codes.InvalidArgument, err.Error()))
	}
	codec, err := r.codecFor(v.opts)
	if err != nil {
		return nil, fail(err)
	}
	values, items := v.args, reflect.Value{}
	if r.sig.TakesStream() {
		last := len(values) - 1
		values, items = values[:last], values[last]
	}
	s := &outStream{path: r.path, codec: codec}
	to, err := r.streamTo()
	if err != nil {
		return nil, callError(r.path, err)
	}
	if to != nil {
		s.passing = newPassing(*to)
		if values, err = s.passing.values(r.sig, values); err != nil {
			return s, callError(r.path, argumentError(err))
		}
	}
	body, err := r.sig.EncodeArgs(nil, codec, values)
	if err != nil {
		return s, fail(err)
	}
	q := r.request(codec.Name(), nil, v.opts)
	q.to = to
	_, method, _ := splitPath(r.path)
	q.stream = &grpc.StreamDesc{
		StreamName: method, ClientStreams: r.sig.TakesStream(), ServerStreams: r.sig.Stream != bind.NoStream,
	}
	if !r.sig.TakesStream() {
		q.body = body
	}
	m, err := r.host.openStream(ctx, &q)
	if err != nil {
		return s, q.failed(err, nil)
	}
	s.messages = m
	if r.sig.TakesStream() {
		if !ownItems(codec) {
			_ = m.send(raw.Of(body)) // recv tells what is wrong
		}
		go r.sendItems(ctx, m, itemCodec(codec), items, cancel)
	}
	return s, nil
}

// streamTo is where a stream has to go, or nil if that can be decided later.
func (r *required) streamTo() (*provider, error) {
	if r.object == nil && !r.sig.Refers() {
		return nil, nil
	}
	to, err := r.provider()
	return &to, err
}

// sendItems sends what the caller gives one by one, until there are no more or the
// callee takes no more. What can't be sent ends the call.
func (r *required) sendItems(ctx context.Context, m messages, codec args.Codec, items reflect.Value, cancel context.CancelCauseFunc) {
	send := func(item reflect.Value) bool {
		err := r.sig.CarriesItem(item)
		var body []byte
		if err == nil {
			body, err = codec.Append(nil, item)
		}
		if err != nil {
			cancel(sentError(r.path, status.Errorf(codes.InvalidArgument, "a value of the stream: %v", err), nil))
			return false
		}
		return m.send(raw.Of(body)) == nil
	}
	whole := true
	switch {
	case items.IsNil():
	case r.sig.Params[len(r.sig.Params)-1].Stream == bind.ErrStream:
		items.Seq2()(func(item, err reflect.Value) bool {
			if e, ok := err.Interface().(error); ok {
				cancel(sentError(r.path, e, nil))
				whole = false
				return false
			}
			return send(item)
		})
	default:
		items.Seq()(send)
	}
	// Values that end because the call does are not all of them.
	if whole && ctx.Err() == nil {
		_ = m.closeSend()
	}
}

// callStreaming is the body of a required function with streams, for its results
// without the error.
func (r *required) callStreaming(v *invocation, results []reflect.Value) error {
	ctx, cancel := context.WithCancelCause(v.ctx)
	end := func() {
		cancel(nil)
		v.cancel()
	}
	s, err := r.openFor(ctx, cancel, v)
	if r.sig.Stream == bind.NoStream {
		defer end()
		if err == nil {
			err = s.result(r, results)
		}
		s.settle(err)
		return r.because(ctx, err)
	}
	if err != nil {
		end()
		s.settle(err)
		if r.sig.Err {
			return r.because(ctx, err)
		}
	}
	results[0].Set(r.sequence(ctx, s, err, end))
	return nil
}

// because is the error of a call whose caller's stream may be what ended it.
func (r *required) because(ctx context.Context, err error) error {
	if cause, ok := context.Cause(ctx).(*Error); ok && err != nil { //nolint:errorlint // as sendItems made it
		return cause
	}
	return err
}

// result receives the one reply of a call that streams to the callee only.
func (s *outStream) result(r *required, results []reflect.Value) error {
	msg, err := s.messages.recv()
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.Internal, "the call ended without a reply")
	}
	if err != nil {
		return sentError(s.path, err, s.messages.trailer())
	}
	defer msg.Free()
	if extra, err := s.messages.recv(); err == nil {
		extra.Free()
		return sentError(s.path, status.Error(codes.Internal, "the call was answered with more than one message"), nil)
	} else if !errors.Is(err, io.EOF) {
		return sentError(s.path, err, s.messages.trailer())
	}
	travelled := make([]reflect.Value, len(r.sig.Results))
	for i := range travelled {
		travelled[i] = reflect.New(r.sig.Results[i].Type).Elem()
	}
	if err := r.sig.DecodeResults(s.codec, msg.Data, travelled); err != nil {
		return sentError(s.path, status.Error(codes.Internal, err.Error()), nil)
	}
	var from provider
	if s.passing != nil {
		from = s.passing.to
	}
	return r.arrived(from, travelled, results)
}

var errConsumed = errors.New("the values of a call can be ranged over once")

// sequence is the iterator that a required function returns.
func (r *required) sequence(ctx context.Context, s *outStream, failed error, end func()) reflect.Value {
	t := r.sig.Results[0]
	var begun atomic.Bool
	return reflect.MakeFunc(t.Go, func(in []reflect.Value) []reflect.Value {
		yield := func(item reflect.Value, err error) bool {
			return in[0].Call([]reflect.Value{item, errorValue(err)})[0].Bool()
		}
		zero := reflect.Zero(t.Type)
		switch {
		case !begun.CompareAndSwap(false, true):
			yield(zero, callError(r.path, status.Error(codes.FailedPrecondition, errConsumed.Error())))
			return nil
		case failed != nil:
			yield(zero, r.because(ctx, failed))
			return nil
		}
		var err error
		defer func() {
			end()
			s.settle(err)
			runtime.KeepAlive(r.object)
		}()
		for {
			item := reflect.New(t.Type).Elem()
			err = s.next(item)
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				yield(zero, r.because(ctx, err))
				return nil
			case !yield(item, nil):
				return nil
			}
		}
	})
}
