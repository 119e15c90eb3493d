package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// Require waits until this host or a linked one exports name, and returns a
// function that calls it:
//
//	add, err := host.Require[func(context.Context, int, int) (int, error)](ctx, h, "Calculator.Add")
//	sum, err := add(ctx, 1, 2)
//
// F is a function type that ends with an error. If it starts with a context,
// that bounds each call and carries metadata (metadata.AppendToOutgoingContext);
// otherwise [WithTimeout] does. If it ends with ...grpc.CallOption, those are
// for the call. The other parameters and results are as in [Host.Export]; a
// single struct that embeds [Params] is the list of arguments. If F has no
// results, what the function returns is dropped.
//
// Require waits as long as ctx allows. Its error then says what it waited for
// and which hosts were linked.
//
// The function is bound to the name and not to a host: each call goes to this
// host if it exports the name, or else to one of the hosts that do. With none it
// fails with the code Unavailable. Errors of calls are of type [*Error]. Any
// number of goroutines may call the function at a time; no order is promised
// between calls.
func Require[F any](ctx context.Context, h *Host, name string, opts ...CallOption) (F, error) {
	var zero F
	fn, err := h.require(ctx, name, reflect.TypeFor[F](), opts)
	if err != nil {
		return zero, fmt.Errorf("host %q: require %q: %w", h.label, name, err)
	}
	return fn.Interface().(F), nil
}

func (h *Host) require(ctx context.Context, name string, t reflect.Type, opts []CallOption) (reflect.Value, error) {
	r, err := h.newRequired(name, t, opts)
	if err != nil {
		return reflect.Value{}, err
	}
	service, method := splitName(name)
	if err := h.await(ctx, service, method); err != nil {
		return reflect.Value{}, err
	}
	return reflect.MakeFunc(t, r.call), nil
}

// required is the plan of a required function: what can be known before a call.
type required struct {
	host  *Host
	sig   *bind.Signature
	path  string
	cfg   callConfig
	codec args.Codec
	out   []reflect.Type // all results, the error included
}

func (h *Host) newRequired(name string, t reflect.Type, opts []CallOption) (*required, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	sig, err := bind.Required(t)
	if err != nil {
		return nil, fmt.Errorf("%v can't be required: %w", t, err)
	}
	cfg, err := h.callConfig(opts)
	if err != nil {
		return nil, err
	}
	r := &required{host: h, sig: sig, path: joinPath(splitName(name)), cfg: cfg}
	if r.codec = dynamicCodec(cfg.codec); r.codec == nil {
		if r.codec, err = typedCodec(r.path, sig); err != nil {
			return nil, err
		}
	}
	for i := range t.NumOut() {
		r.out = append(r.out, t.Out(i))
	}
	return r, nil
}

func (h *Host) callConfig(opts []CallOption) (callConfig, error) {
	cfg := h.config.call
	for _, o := range opts {
		o.applyCall(&cfg)
	}
	return cfg, cfg.check()
}

// call is the body of a required function.
func (r *required) call(in []reflect.Value) []reflect.Value {
	ctx, cancel := context.Background(), func() {}
	if r.sig.Context {
		ctx, in = in[0].Interface().(context.Context), in[1:]
	} else {
		ctx, cancel = context.WithTimeout(ctx, r.cfg.timeout)
	}
	defer cancel()
	var opts []grpc.CallOption
	if r.sig.CallOptions {
		last := len(in) - 1
		opts, in = in[last].Interface().([]grpc.CallOption), in[:last]
	}
	out := make([]reflect.Value, len(r.out))
	for i, t := range r.out {
		out[i] = reflect.New(t).Elem()
	}
	last := len(out) - 1
	if err := r.invoke(ctx, in, opts, out[:last]); err != nil {
		for i := range last {
			out[i].SetZero() // a reply that doesn't fit may have set some
		}
		out[last].Set(reflect.ValueOf(err))
	}
	return out
}

func (r *required) invoke(ctx context.Context, in []reflect.Value, opts []grpc.CallOption, results []reflect.Value) error {
	body, err := r.sig.EncodeArgs(r.codec, in)
	if err != nil {
		return callError(r.path, status.Error(codes.InvalidArgument, err.Error()), nil)
	}
	reply, err := r.host.invoke(ctx, &request{path: r.path, codec: r.cfg.codec, body: body, opts: opts})
	if err != nil {
		return err
	}
	buf := contiguous(reply)
	defer buf.Free()
	if err := r.sig.DecodeResults(r.codec, buf.ReadOnlyData(), results); err != nil {
		return callError(r.path, status.Error(codes.Internal, err.Error()), nil)
	}
	return nil
}

// contiguous makes one buffer of a message, which it frees.
func contiguous(msg mem.BufferSlice) mem.Buffer {
	defer msg.Free()
	return msg.MaterializeToBuffer(mem.DefaultBufferPool())
}

// await waits until there is a provider of a service's method, any method if it
// is "".
func (h *Host) await(ctx context.Context, service, method string) error {
	for {
		changed, stop := h.peers.watch(service)
		if h.provided(service, method) {
			stop()
			return nil
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			stop()
			return ErrClosed
		case <-ctx.Done():
			stop()
			return h.notProvided(ctx, service, method)
		}
	}
}

func (h *Host) provided(service, method string) bool {
	if method != "" && h.exports.lookup(joinPath(service, method)) != nil {
		return true
	}
	if method == "" && h.exports.has(service) {
		return true
	}
	return pickOffer(h.peers.find(service), method) != nil
}

// notProvided says what was waited for in vain, and what there was.
func (h *Host) notProvided(ctx context.Context, service, method string) error {
	what := "no host exports it"
	if len(h.peers.find(service)) > 0 || h.exports.has(service) {
		what = fmt.Sprintf("%s is exported, without the method %s", service, method)
	}
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("timed out waiting for it: %s; %s: %w", what, h.peers.describe(), err)
	}
	return fmt.Errorf("gave up waiting for it: %s; %s: %w", what, h.peers.describe(), err)
}
