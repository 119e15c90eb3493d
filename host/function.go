package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/host/internal/bind"
	"github.com/carp-rpc/carp-go/internal/raw"
)

// function is the endpoint of an exported Go function or method.
type function struct {
	host  *Host
	sig   *bind.Signature
	fn    reflect.Value
	recv  []reflect.Value // the receiver of a method, or empty
	makes *class          // whose constructor it is, or nil
	typed typed
}

var _ endpoint = (*function)(nil)

// serve answers a call. A panic, of the function or of a type that marshals
// itself, is told to the caller as a bare fact; what it was, and where, stays
// here.
func (f *function) serve(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.host.panicked(c.ctx, c.path, p, debug.Stack())
			err = &namedError{
				exception: exceptionPanic,
				status:    status.Newf(codes.Internal, "%s panicked", pathName(c.path)),
			}
		}
	}()
	codec, err := f.codec(c)
	if err != nil {
		return err
	}
	if f.sig.Plain {
		return f.servePlain(c, codec)
	}
	return f.serveSpecial(c, codec)
}

// servePlain answers a call of a function without streams and references.
func (f *function) servePlain(c *call, codec args.Codec) error {
	a, err := f.decode(c, codec)
	if err != nil {
		return err
	}
	in := a.Append(f.before(a.Room(), &c.ctx, c))
	if c.oneWay {
		return f.post(c, in)
	}
	results, err := f.call(in)
	a.Free()
	if err != nil {
		return err
	}
	body, err := f.sig.EncodeResults(c.room[:0], codec, results)
	if err != nil {
		return replyError(c.path, err)
	}
	return c.send(raw.Of(body))
}

// before appends what a function takes before its arguments. A context is read when the
// function is called.
func (f *function) before(in []reflect.Value, ctx *context.Context, c *call) []reflect.Value {
	in = append(in, f.recv...)
	in = append(in, c.recv...)
	if f.sig.Context {
		in = append(in, reflect.ValueOf(ctx).Elem())
	}
	return in
}

// announce implements endpoint.
func (f *function) announce(name string) *carpv1.Method {
	return &carpv1.Method{
		Name:            name,
		Signature:       f.sig.Canonical(),
		SignatureHash:   f.sig.Hash(),
		ClientStreaming: f.sig.TakesStream(),
		ServerStreaming: f.sig.Stream != bind.NoStream,
	}
}

func (f *function) codec(c *call) (args.Codec, error) {
	if codec := dynamicCodec(c.codec); codec != nil {
		return codec, nil
	}
	if c.codec != protoCodec {
		return nil, c.errUnknownCodec(functionCodecs)
	}
	codec, err := f.typed.get(c.path, f.sig)
	if err != nil {
		return nil, c.errNoTypedForm(err)
	}
	return codec, nil
}

// decode reads the arguments. The message is freed before the function runs: a
// function may take long, and call back.
func (f *function) decode(c *call, codec args.Codec) (*bind.Args, error) {
	msg, err := c.receiveOne()
	if err != nil {
		return nil, err
	}
	defer msg.Free()
	a, err := f.sig.DecodeArgs(codec, msg.Data)
	if err != nil {
		return nil, bindError(c.path, err)
	}
	if w, ok := c.wire.(interface{ streaming() bool }); ok && w.streaming() && !f.sig.TakesStream() {
		return a, c.endOfRequests()
	}
	return a, nil
}

// endOfRequests refuses what a caller streams to a function that takes one message.
func (c *call) endOfRequests() error {
	msg, err := c.receive()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		msg.Free()
		err = hostErrorAs(exceptionBind, codes.InvalidArgument, "%s takes no stream of values, and the caller sends one", pathName(c.path))
	}
	return err
}

// call runs the function.
func (f *function) call(in []reflect.Value) (results []reflect.Value, err error) {
	if f.sig.Variadic {
		results = f.fn.CallSlice(in)
	} else {
		results = f.fn.Call(in)
	}
	if !f.sig.Err {
		return results, nil
	}
	last := len(results) - 1
	if failure, ok := results[last].Interface().(error); ok {
		// Read here, where a panic of its Error method is caught.
		return nil, &namedError{exception: exceptionOf(failure), status: statusOf(failure)}
	}
	return results[:last], nil
}

// PanicInfo describes a panic in an exported function.
type PanicInfo struct {
	// Path is the path that was called.
	Path string
	// Value is what the function panicked with.
	Value any
	// Stack is the stack of the panic, as [debug.Stack] formats it.
	Stack []byte
}

// panicked reports a panic to the log and to the hook.
func (h *Host) panicked(ctx context.Context, path string, value any, stack []byte) {
	h.log.ErrorContext(ctx, "an exported function panicked",
		"method", pathName(path), "panic", fmt.Sprint(value), "stack", string(stack))
	if hook := h.hooks.Panic; hook != nil {
		hook(ctx, PanicInfo{Path: path, Value: value, Stack: stack})
	}
	if h.panicCrashes {
		go panic(fmt.Sprintf("%s panicked: %v\n\n%s", pathName(path), value, stack))
		select {}
	}
}
