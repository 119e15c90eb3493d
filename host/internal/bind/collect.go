package bind

import (
	"bytes"
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/args"
)

// A collector receives the arguments of one call and holds the rules about
// which there may be.
type collector struct {
	sig   *Signature
	store reflect.Value // of sig.storeT, settable
	seen  uint64        // a bit for each parameter that has its argument
	count int           // positional arguments so far
	first *args.Raw     // an item that came with the arguments
}

func (s *Signature) collector() collector {
	return collector{sig: s, store: reflect.New(s.storeT).Elem()}
}

// stored is how many parameters have their values among the arguments.
func (s *Signature) stored() int {
	if s.TakesStream() {
		return len(s.Params) - 1
	}
	return len(s.Params)
}

// arg is the place of parameter i.
func (c *collector) arg(i int) reflect.Value {
	return c.store.FieldByIndex(c.sig.Params[i].index)
}

// positional takes the next of total positional arguments.
func (c *collector) positional(codec args.Codec, raw args.Raw, total int) error {
	i, last := c.count, c.sig.stored()-1
	c.count++
	if c.sig.Variadic && i >= last {
		c.seen |= 1 << last
		tail := c.arg(last)
		if err := c.room(tail, raw, total-i); err != nil {
			return err
		}
		return c.decode(codec, raw, last, appendOne(tail))
	}
	if i > last {
		return errorf("too many arguments: %s", c.sig.paramNames())
	}
	c.seen |= 1 << i
	return c.decode(codec, raw, i, c.arg(i))
}

func (c *collector) named(codec args.Codec, named args.NamedRaw) error {
	i, ok := c.sig.names[named.Name]
	if !ok {
		return errorf("there is no parameter %q: %s", named.Name, c.sig.paramNames())
	}
	if c.sig.Params[i].Stream != NoStream {
		return c.item(codec, named.Raw, i)
	}
	if c.seen&(1<<i) != 0 {
		return errorf("argument %q is given twice", named.Name)
	}
	c.seen |= 1 << i
	return c.decode(codec, named.Raw, i, c.arg(i))
}

// room makes room for n more elements of the variadic tail, unless there is some.
func (c *collector) room(tail reflect.Value, raw args.Raw, n int) error {
	if tail.Len() < tail.Cap() {
		return nil
	}
	if raw.Budget != nil {
		size := int(tail.Type().Elem().Size())
		if *raw.Budget -= n * size; *raw.Budget < 0 {
			return errorf("%d arguments of %d bytes each, which is too much for so small a call", n, size)
		}
	}
	tail.Grow(n)
	return nil
}

func (c *collector) decode(codec args.Codec, raw args.Raw, i int, into reflect.Value) error {
	if err := codec.Decode(raw, into); err != nil {
		return errorf("argument %q: %v", c.sig.Params[i].Name, err)
	}
	return nil
}

// item is what typed protobuf has of the caller's stream in the message of the
// arguments: there, the first item may come with them. An empty list is the same
// as none.
func (c *collector) item(codec args.Codec, raw args.Raw, i int) error {
	p := &c.sig.Params[i]
	if codec.Name() != typedCodec {
		return errorf("argument %q is a stream, which follows the arguments", p.Name)
	}
	if raw.Data != nil {
		raw.Data = bytes.Clone(raw.Data) // the body is gone when the function asks for it
		c.first = &raw
	}
	return nil
}

// finish looks for arguments that must be there and aren't.
func (c *collector) finish() error {
	for i := range c.sig.Params {
		if p := &c.sig.Params[i]; c.seen&(1<<i) == 0 && !p.Optional && p.Stream == NoStream {
			return errorf("argument %q is missing: %s", p.Name, c.sig.paramNames())
		}
	}
	return nil
}

// appendOne makes a slice, which has room, longer by one element and returns its place.
func appendOne(slice reflect.Value) reflect.Value {
	n := slice.Len()
	slice.SetLen(n + 1)
	return slice.Index(n)
}
