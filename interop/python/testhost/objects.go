package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"sync"

	"github.com/carp-rpc/carp-go/host"
)

// exportObjects exports a class, and functions with callbacks and streams.
func exportObjects(h *host.Host) error {
	closed := make(chan int64, 1024)
	_, err := h.ExportClass("Counter", func(start int64) (*counter, error) {
		if start < 0 {
			return nil, errors.New("below zero")
		}
		return &counter{n: start, closed: closed}, nil
	}, host.WithParams("start"))
	if err != nil {
		return err
	}
	s := &streaming{stopped: make(chan int, 1024)}
	for name, v := range map[string]any{
		"Counters":  counters{closed},
		"Callbacks": &callbacks{},
		"Numbers":   s,
		"Reverse":   &reverseObjects{host: h},
	} {
		if _, err := h.Export(name, v); err != nil {
			return err
		}
	}
	return nil
}

// counter is an exported class.
type counter struct {
	mu     sync.Mutex
	n      int64
	closed chan<- int64
}

func (c *counter) Add(n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	return c.n
}

func (c *counter) Self() *counter           { return c }
func (c *counter) Same(other *counter) bool { return c == other }

// CountTo yields what is left up to a limit.
func (c *counter) CountTo(limit int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for i := c.Add(0); i < limit; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// Close is called when nobody refers to the counter any more.
func (c *counter) Close() error {
	c.closed <- c.Add(0)
	return nil
}

type counters struct{ closed <-chan int64 }

// Closed waits for the next counter that is closed, and returns its value.
func (c counters) Closed(ctx context.Context) (int64, error) {
	select {
	case n := <-c.closed:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Total adds up counters that are passed by reference.
func (counters) Total(a, b *counter) int64 { return a.Add(0) + b.Add(0) }

// callbacks has functions that are given functions.
type callbacks struct {
	mu   sync.Mutex
	kept func(context.Context, string) (string, error)
	drop func()
}

// Map calls f with each of the numbers.
func (c *callbacks) Map(ctx context.Context, f func(context.Context, int64) (int64, error), numbers []int64) ([]int64, error) {
	for i, n := range numbers {
		var err error
		if numbers[i], err = f(ctx, n); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// Keep keeps f beyond the call.
func (c *callbacks) Keep(ctx context.Context, f func(context.Context, string) (string, error)) error {
	drop, err := host.Retain(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept, c.drop = f, drop
	return nil
}

// Lose keeps f, but not beyond the call.
func (c *callbacks) Lose(f func(context.Context, string) (string, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = f
}

// Kept calls what was kept.
func (c *callbacks) Kept(ctx context.Context, text string) (string, error) {
	c.mu.Lock()
	f := c.kept
	c.mu.Unlock()
	return f(ctx, text)
}

// Drop ends the keeping.
func (c *callbacks) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}

// streaming has functions with streams of plain values.
type streaming struct{ stopped chan int }

// Count yields numbers, and then an error if the count is negative.
func (*streaming) Count(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range max(n, -n) {
			if !yield(i, nil) {
				return
			}
		}
		if n < 0 {
			yield(0, errors.New("below zero"))
		}
	}
}

// Endless yields until it is stopped, of which Stopped tells.
func (s *streaming) Endless() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; ; i++ {
			if !yield(i) {
				s.stopped <- i
				return
			}
		}
	}
}

// Stopped waits until an endless stream has been stopped.
func (s *streaming) Stopped(ctx context.Context) error {
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reverseObjects calls what a linked Python process exports.
type reverseObjects struct {
	host *host.Host
	took func(context.Context, int64) (int64, error)
}

// account is an object of a class in Python.
type account struct {
	host.Object
	Deposit func(context.Context, int64) (int64, error)
	Same    func(context.Context) (*account, error)
}

// Account makes an object of Python's class, calls it, passes it back to a function, and
// releases it, or leaves that to the collector.
func (r *reverseObjects) Account(ctx context.Context, class, function, codec string, release bool) ([]int64, error) {
	option := host.WithCodec(codec)
	open, err := host.Require[func(context.Context, int64) (*account, error)](ctx, r.host, class, option)
	if err != nil {
		return nil, err
	}
	balance, err := host.Require[func(context.Context, *account) (int64, error)](ctx, r.host, function, option)
	if err != nil {
		return nil, err
	}
	a, err := open(ctx, 5)
	if err != nil {
		return nil, err
	}
	first, err := a.Deposit(ctx, 2)
	if err != nil {
		return nil, err
	}
	same, err := a.Same(ctx)
	if err != nil {
		return nil, err
	}
	second, err := same.Deposit(ctx, 3)
	if err != nil {
		return nil, err
	}
	last, err := balance(ctx, a)
	if err == nil && release {
		err = errors.Join(a.Release(ctx), same.Release(ctx))
	}
	if err == nil && release {
		if _, called := a.Deposit(ctx, 1); called == nil {
			err = errors.New("an object that was released can be called")
		}
	}
	return []int64{first, second, last}, err
}

// Collect runs the garbage collector.
func (*reverseObjects) Collect() { runtime.GC() }

// Take takes the first values of a generator of Python, at most so many, or all.
func (r *reverseObjects) Take(ctx context.Context, name, codec string, argument, most int) ([]int, string, error) {
	f, err := host.Require[func(context.Context, int) iter.Seq2[int, error]](ctx, r.host, name, host.WithCodec(codec))
	if err != nil {
		return nil, "", err
	}
	var got []int
	for v, err := range f(ctx, argument) {
		if err != nil {
			return got, err.Error(), nil
		}
		if got = append(got, v); len(got) == most {
			break
		}
	}
	return got, "", nil
}

// LendBack passes a function to one of Python, which passes it back to Took.
func (r *reverseObjects) LendBack(ctx context.Context, name, codec string) (result any, same bool, err error) {
	f, err := host.Require[func(context.Context, func(context.Context, int64) (int64, error)) (any, error)](ctx, r.host, name, host.WithCodec(codec))
	if err != nil {
		return nil, false, err
	}
	r.took = nil
	lent := func(_ context.Context, n int64) (int64, error) { return 2 * n, nil }
	result, err = f(ctx, lent)
	return result, r.took != nil && reflect.ValueOf(r.took).Pointer() == reflect.ValueOf(lent).Pointer(), err
}

// Took takes a function, and calls it.
func (r *reverseObjects) Took(ctx context.Context, f func(context.Context, int64) (int64, error)) (int64, error) {
	r.took = f
	return f(ctx, 21)
}

// Other takes a function of another type.
func (r *reverseObjects) Other(ctx context.Context, f func(string) (string, error)) (string, error) {
	return f("x")
}

// Forward passes a function of the caller's on to one of Python.
func (r *reverseObjects) Forward(ctx context.Context, name string, f func(context.Context, int64) (int64, error)) (any, error) {
	return host.Call[any](ctx, r.host, name, f)
}

// Lend passes a function to one of Python, and returns what that returns. Afterwards the
// function can't be called.
func (r *reverseObjects) Lend(ctx context.Context, name, codec string) (any, error) {
	f, err := host.Require[func(context.Context, func(context.Context, int64) (int64, error)) (any, error)](ctx, r.host, name, host.WithCodec(codec))
	if err != nil {
		return nil, err
	}
	return f(ctx, func(_ context.Context, n int64) (int64, error) {
		if n < 0 {
			return 0, fmt.Errorf("below zero: %d", n)
		}
		return 2 * n, nil
	})
}
