package host

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// Kwargs are arguments by parameter name, for [Call].
type Kwargs map[string]any

// Call calls an exported function by name, with whatever arguments, and decodes
// what it returns into an R; into any, if nothing is known of it:
//
//	sum, err := host.Call[int](ctx, h, "Calculator.Add", 1, 2)
//	sum, err := host.Call[int](ctx, h, "Calculator.Add", 1, host.Kwargs{"b": 2})
//
// Arguments of type [Kwargs] are given by name. Arguments of type [CallOption]
// and [grpc.CallOption] are options of the call; those that hold for every call
// are better given to [New]. A function with several results returns a list of
// them.
//
// Call doesn't wait for a provider: with none it fails with the code
// Unavailable. Its errors are of type [*Error]. The codec must be one that
// carries values without knowing their types beforehand, which "proto" is not.
func Call[R any](ctx context.Context, h *Host, name string, arguments ...any) (R, error) {
	var result R
	err := h.callDynamic(ctx, name, arguments, reflect.ValueOf(&result).Elem())
	if err != nil {
		var zero R
		return zero, err
	}
	return result, nil
}

// Go is [Call] without waiting: it starts the call and returns a [Future] of its
// outcome. For a callback, see [Future.Then].
func Go[R any](ctx context.Context, h *Host, name string, arguments ...any) *Future[R] {
	f := newFuture[R]()
	go func() { f.end(Call[R](ctx, h, name, arguments...)) }()
	return f
}

// Post calls an exported function one-way, see [WithOneWay].
func Post(ctx context.Context, h *Host, name string, arguments ...any) error {
	return h.callDynamic(ctx, name, append(arguments[:len(arguments):len(arguments)], WithOneWay()), reflect.Value{})
}

// WithOneWay makes a call that returns when its arguments are bound and the callee
// has admitted it. The function runs on, with a context that doesn't end with the
// caller's but after the callee's [WithOneWayTimeout]; what it returns is dropped,
// and an error is told to the log and [Hooks] of its host. No order is promised
// among such calls. A callee that has too many of them answers ResourceExhausted.
func WithOneWay() CallOption {
	return callOption(func(c *callConfig) { c.oneWay = true })
}

type callOption func(*callConfig)

func (o callOption) applyCall(c *callConfig) { o(c) }

// dynamicCall is a call of a function of which nothing is known.
type dynamicCall struct {
	positional []reflect.Value
	named      []args.Named
	call       []CallOption
	grpc       []grpc.CallOption
}

func (d *dynamicCall) sort(arguments []any) {
	for _, a := range arguments {
		switch a := a.(type) {
		case Kwargs:
			for _, name := range slices.Sorted(maps.Keys(a)) {
				d.named = append(d.named, args.Named{Name: name, Value: reflect.ValueOf(a[name])})
			}
		case CallOption:
			d.call = append(d.call, a)
		case grpc.CallOption:
			d.grpc = append(d.grpc, a)
		default:
			d.positional = append(d.positional, reflect.ValueOf(a))
		}
	}
}

func (h *Host) callDynamic(ctx context.Context, name string, arguments []any, result reflect.Value) error {
	path := joinPath(splitName(name))
	fail := func(code codes.Code, err error) error {
		return callError(path, status.Error(code, err.Error()), nil)
	}
	if err := checkName(name); err != nil {
		return fail(codes.InvalidArgument, err)
	}
	if result.IsValid() {
		if err := bind.CheckType(result.Type()); err != nil {
			return fail(codes.InvalidArgument, fmt.Errorf("the result: %w", err))
		}
	}
	var d dynamicCall
	d.sort(arguments)
	cfg, err := h.callConfig(d.call)
	if err != nil {
		return fail(codes.InvalidArgument, err)
	}
	codec := dynamicCodec(cfg.codec)
	if codec == nil {
		return fail(codes.InvalidArgument, fmt.Errorf("the codec %q needs the function's type; use Require, or another codec", cfg.codec))
	}
	body, err := codec.AppendArgs(nil, d.positional, d.named)
	if err != nil {
		return fail(codes.InvalidArgument, fmt.Errorf("the arguments: %w", err))
	}
	demand := newDemand(path)
	demand.picker = cfg.picker
	reply, err := h.invoke(ctx, &request{
		path: path, codec: cfg.codec, body: body, opts: d.grpc, demand: demand, oneWay: cfg.oneWay, cfg: &cfg,
	})
	if err != nil {
		return err
	}
	if cfg.oneWay {
		reply.Free()
		return nil
	}
	buf := contiguous(reply)
	defer buf.Free()
	pieces, err := codec.SplitResults(buf.ReadOnlyData(), 1)
	if err == nil {
		err = codec.Decode(pieces[0], result)
	}
	if err != nil {
		return fail(codes.Internal, fmt.Errorf("the result: %w", err))
	}
	return nil
}
