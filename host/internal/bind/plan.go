package bind

import (
	"reflect"
	"slices"

	"github.com/carp-rpc/carp-go/codecs/args"
)

// typedCodec is the name of the codec whose bodies follow the signature.
const typedCodec = "proto"

// Args are the decoded arguments of one call.
type Args struct {
	collector
	room []reflect.Value
}

// spare is how many values a call may take beside its arguments: receiver, object and
// context.
const spare = 3

// args are those of a new call, in memory that another one may have had.
func (s *Signature) args() *Args {
	if a, ok := s.spent.Get().(*Args); ok {
		return a
	}
	return &Args{collector: s.collector(), room: make([]reflect.Value, spare+len(s.Params))}
}

// Free lets the arguments go when the function has returned. They must not be used after
// that. Who doesn't know when that is leaves them to the collector.
func (a *Args) Free() {
	s := a.sig
	a.store.SetZero()
	clear(a.room)
	a.seen, a.count, a.first = 0, 0, nil
	s.spent.Put(a)
}

// Room is an empty slice for what a function is called with. It lasts as long as the
// arguments.
func (a *Args) Room() []reflect.Value { return a.room[:0] }

// Append adds to in what [reflect.Value.Call], or CallSlice for a variadic
// function, takes for the arguments. It is for signatures that are plain.
func (a *Args) Append(in []reflect.Value) []reflect.Value {
	if a.sig.Struct {
		return append(in, a.store)
	}
	for i := range a.store.NumField() {
		in = append(in, a.store.Field(i))
	}
	return in
}

// Value is the argument of parameter i, which is not a stream, as it travelled.
func (a *Args) Value(i int) reflect.Value { return a.store.FieldByIndex(a.sig.Params[i].index) }

// FirstItem is an item of the caller's stream that came with the arguments, or
// nil.
func (a *Args) FirstItem() *args.Raw { return a.first }

// DecodeArgs reads the body of a request.
func (s *Signature) DecodeArgs(codec args.Codec, body []byte) (*Args, error) {
	a := s.args()
	if err := a.read(codec, body); err != nil {
		a.Free()
		return nil, err
	}
	return a, nil
}

func (c *collector) read(codec args.Codec, body []byte) error {
	pieces, err := codec.Split(body)
	if err != nil {
		return errorf("the arguments: %v", err)
	}
	for _, raw := range pieces.Positional {
		if err := c.positional(codec, raw, len(pieces.Positional)); err != nil {
			return err
		}
	}
	for _, named := range pieces.Named {
		if err := c.named(codec, named); err != nil {
			return err
		}
	}
	return c.finish()
}

// EncodeArgs appends the body of a request to dst. Values are what travels: what the
// function takes without a context, call options and a stream, with the variadic
// tail as a slice and references in the place of what they stand for.
func (s *Signature) EncodeArgs(dst []byte, codec args.Codec, values []reflect.Value) ([]byte, error) {
	err := s.carry(s.openParams, values)
	var body []byte
	if err == nil {
		body, err = codec.AppendArgs(dst, s.spread(codec, values), nil)
	}
	if err != nil {
		return nil, errorf("the arguments: %v", err)
	}
	return body, nil
}

// spread returns the arguments one by one: the fields of a struct of them, the
// elements of a variadic tail. Typed protobuf has one field for each parameter,
// the tail included.
func (s *Signature) spread(codec args.Codec, values []reflect.Value) []reflect.Value {
	switch {
	case s.Variadic && codec.Name() == typedCodec:
		return values
	case s.Struct:
		fields := make([]reflect.Value, len(s.Params))
		for i := range s.Params {
			fields[i] = values[0].FieldByIndex(s.Params[i].index)
		}
		return fields
	case s.Variadic:
		last := len(values) - 1
		tail := values[last]
		values = slices.Grow(slices.Clone(values[:last]), tail.Len())
		for i := range tail.Len() {
			values = append(values, tail.Index(i))
		}
	}
	return values
}

// EncodeResults appends the body of a reply to dst: the results without an error.
func (s *Signature) EncodeResults(dst []byte, codec args.Codec, results []reflect.Value) ([]byte, error) {
	err := s.carry(s.openResults, results)
	var body []byte
	if err == nil {
		body, err = codec.AppendResults(dst, results)
	}
	if err != nil {
		return nil, errorf("the result: %v", err)
	}
	return body, nil
}

// DecodeResults reads the body of a reply into results, which are settable and
// of the signature's result types. A result that the caller has no use for is
// dropped.
func (s *Signature) DecodeResults(codec args.Codec, body []byte, results []reflect.Value) error {
	if len(results) == 0 {
		return nil
	}
	pieces, err := codec.SplitResults(body, len(results))
	if err != nil {
		return errorf("the reply: %v", err)
	}
	for i, raw := range pieces {
		if err := codec.Decode(raw, results[i]); err != nil {
			return errorf("result %d: %v", i, err)
		}
	}
	return nil
}
