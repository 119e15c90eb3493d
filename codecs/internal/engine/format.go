package engine

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/codecs/args"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Source is a reader that can be used again.
type Source interface {
	Reader

	// Reset makes the source read data. With check, it is read for a Checker:
	// the source looks at what only has to be looked at once, such as grammar
	// and text, and may leave out what concerns neither the shape nor the
	// keys. Without check, the data has been checked before.
	Reset(data []byte, check bool) error

	// Done returns an error if the input is not used up.
	Done() error
}

// Sink is a writer that can be used again.
type Sink interface {
	Writer

	// Reset makes the sink append to dst.
	Reset(dst []byte)

	// Finish returns dst with what was appended, or an error that no single
	// token could return.
	Finish() ([]byte, error)
}

// Format is a wire format: all that a codec needs, given its tokens. It keeps
// readers and writers for their next use, so that a call allocates neither.
type Format struct {
	name     string
	readings sync.Pool
	writings sync.Pool
}

// NewFormat returns the format whose sources and sinks these functions make.
// One level of a value may take that many levels of the format.
func NewFormat(name string, source func() Source, sink func() Sink, levels int) *Format {
	return &Format{
		name: name,
		readings: sync.Pool{New: func() any {
			return &reading{source: source(), checker: Checker{max: levels * value.MaxDepth}}
		}},
		writings: sync.Pool{New: func() any { return &writing{sink: sink()} }},
	}
}

// reading and writing are what the pools keep.
type reading struct {
	Decoder
	checker Checker
	source  Source
}

type writing struct {
	Encoder
	sink Sink
}

// reading begins to read data, either to check its shape or to decode it.
func (f *Format) reading(data []byte, check bool) (*reading, error) {
	d := f.readings.Get().(*reading)
	d.Decoder.Reset(d.source, len(data))
	return d, d.source.Reset(data, check)
}

// release gives d back. Nothing of the input may stay behind.
func (f *Format) release(d *reading) {
	_ = d.source.Reset(nil, false) // can't fail without a check
	d.checker.reset()
	d.tokens.reset()
	f.readings.Put(d)
}

func (f *Format) writing(dst []byte) *writing {
	e := f.writings.Get().(*writing)
	e.sink.Reset(dst)
	e.Encoder = Encoder{W: e.sink}
	return e
}

// finish gives e back and returns what it has written, or dst if it failed.
func (f *Format) finish(e *writing, dst []byte, err error) ([]byte, error) {
	out, late := e.sink.Finish()
	e.sink.Reset(nil)
	f.writings.Put(e)
	if err == nil {
		err = late
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Append appends the encoded form of v to dst.
func (f *Format) Append(dst []byte, v any) ([]byte, error) {
	e := f.writing(dst)
	return f.finish(e, dst, e.EncodeAny(v))
}

// AppendValue is Append for a reflect.Value.
func (f *Format) AppendValue(dst []byte, v reflect.Value) ([]byte, error) {
	e := f.writing(dst)
	return f.finish(e, dst, e.Encode(v))
}

// AppendArgs appends the body of a request.
func (f *Format) AppendArgs(dst []byte, positional []reflect.Value, named []args.Named) ([]byte, error) {
	e := f.writing(dst)
	return f.finish(e, dst, e.Args(positional, named))
}

// AppendResults appends the body of a reply.
func (f *Format) AppendResults(dst []byte, results []reflect.Value) ([]byte, error) {
	e := f.writing(dst)
	return f.finish(e, dst, e.Results(results))
}

// Build appends what build writes, in formats that have more than values.
func (f *Format) Build(dst []byte, build func(*Encoder) error) ([]byte, error) {
	e := f.writing(dst)
	return f.finish(e, dst, build(&e.Encoder))
}

// Check checks the shape of data, which must be one value.
func (f *Format) Check(data []byte) error {
	d, err := f.reading(data, true)
	defer f.release(d)
	if err == nil {
		err = d.check()
	}
	return f.wrap(err)
}

// check checks the whole input.
func (d *reading) check() error {
	if err := d.checker.Check(d.source); err != nil {
		return err
	}
	return d.source.Done()
}

// Decode checks data, which must be one value, and decodes it into what pointer
// points to.
func (f *Format) Decode(data []byte, pointer any) error { return f.DecodeWithin(data, pointer, nil) }

// DecodeWithin is Decode for a value that takes from a budget which it has in common with
// others, unless that is nil.
func (f *Format) DecodeWithin(data []byte, pointer any, budget *Budget) error {
	d, err := f.reading(data, true)
	defer f.release(d)
	if budget != nil {
		d.Budget = *budget
		defer func() { *budget = d.Budget }()
	}
	if err == nil {
		err = d.check()
	}
	if err == nil {
		err = d.source.Reset(data, false)
	}
	if err == nil {
		err = d.DecodeInto(pointer)
	}
	return err
}

// DecodeValue decodes data, which has been checked, into v.
func (f *Format) DecodeValue(raw args.Raw, v reflect.Value) error {
	d, err := f.reading(raw.Data, false)
	defer f.release(d)
	if raw.Budget != nil {
		d.Budget = Budget(*raw.Budget)
		defer func() { *raw.Budget = int(d.Budget) }()
	}
	if err != nil {
		return f.wrap(err)
	}
	return d.Decoder.Decode(v)
}

// Split checks and cuts up the body of a request.
func (f *Format) Split(body []byte) (args.Arguments, error) {
	if len(body) == 0 {
		return args.Arguments{}, nil
	}
	d, err := f.reading(body, true)
	defer f.release(d)
	if err != nil {
		return args.Arguments{}, f.wrap(err)
	}
	all, err := d.checker.SplitArgs(d.source, body)
	if err == nil {
		err = d.source.Done()
	}
	if err != nil {
		return args.Arguments{}, f.wrap(err)
	}
	Share(&all, len(body))
	return all, nil
}

// SplitResults checks and cuts up the body of a reply. null is the body that an
// empty one stands for.
func (f *Format) SplitResults(body []byte, n int, null []byte) ([]args.Raw, error) {
	if len(body) == 0 {
		body = null
	}
	d, err := f.reading(body, true)
	defer f.release(d)
	if err != nil {
		return nil, f.wrap(err)
	}
	results, err := d.checker.SplitResults(d.source, body, n)
	if err == nil {
		err = d.source.Done()
	}
	if err != nil {
		return nil, f.wrap(err)
	}
	ShareResults(results, len(body))
	return results, nil
}

// Marshal encodes v into buffers for gRPC.
func (f *Format) Marshal(v any) (mem.BufferSlice, error) {
	data, err := MarshalBuffers(func(dst []byte) ([]byte, error) { return f.Append(dst, v) })
	if err != nil {
		return nil, fmt.Errorf("%s: marshal %T: %w", f.name, v, err)
	}
	return data, nil
}

// Unmarshal decodes what gRPC received.
func (f *Format) Unmarshal(data mem.BufferSlice, pointer any) error {
	err := UnmarshalBuffers(data, func(b []byte) error { return f.Decode(b, pointer) })
	if err != nil {
		return fmt.Errorf("%s: unmarshal into %T: %w", f.name, pointer, err)
	}
	return nil
}

// MarshalBytes is Marshal into a slice.
func (f *Format) MarshalBytes(v any) ([]byte, error) {
	b := scratches.Get(0)
	data, err := f.Append(*b, v)
	if err != nil {
		scratches.Put(b)
		return nil, fmt.Errorf("%s: marshal %T: %w", f.name, v, err)
	}
	*b = data
	data = append(make([]byte, 0, len(data)), data...)
	scratches.Put(b)
	return data, nil
}

// UnmarshalBytes is Unmarshal from a slice.
func (f *Format) UnmarshalBytes(data []byte, pointer any) error {
	if err := f.Decode(data, pointer); err != nil {
		return fmt.Errorf("%s: unmarshal into %T: %w", f.name, pointer, err)
	}
	return nil
}

// wrap says which format an error is about.
func (f *Format) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.name, err)
}
