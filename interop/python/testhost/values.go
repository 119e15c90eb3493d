package main

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/carp-rpc/carp-go/host"
)

// Functions that take streams of plain values.

// Sum adds up numbers, factor times each.
func (*streaming) Sum(factor int, numbers iter.Seq[int]) (total int) {
	for n := range numbers {
		total += factor * n
	}
	return total
}

// First returns the first of the values, and leaves the others.
func (*streaming) First(values iter.Seq2[any, error]) (any, error) {
	for v, err := range values {
		return v, err
	}
	return nil, errors.New("no values")
}

// Sizes counts the bytes of the values, when it is told to.
func (s *streaming) Sizes(ctx context.Context, blobs iter.Seq2[[]byte, error]) (total int, err error) {
	if err := s.Stopped(ctx); err != nil {
		return 0, err
	}
	for b, err := range blobs {
		if err != nil {
			return 0, err
		}
		total += len(b)
	}
	return total, nil
}

// Go lets Sizes go on.
func (s *streaming) Go() { s.stopped <- 0 }

// Double yields twice what it takes, one by one, and stops after a zero.
func (*streaming) Double(numbers iter.Seq2[int, error]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for n, err := range numbers {
			if !yield(2*n, err) || n == 0 || err != nil {
				return
			}
		}
	}
}

// Give calls a function of Python with a stream, which ends if there are values and
// has no end if there are none. It returns how many were drawn, too.
func (r *reverseObjects) Give(ctx context.Context, name, codec string, argument int, values []int) (result any, drawn int, err error) {
	f, err := host.Require[func(context.Context, int, iter.Seq[int]) (any, error)](ctx, r.host, name, host.WithCodec(codec))
	if err != nil {
		return nil, 0, err
	}
	result, err = f(ctx, argument, func(yield func(int) bool) {
		for {
			for _, v := range append(values, 0)[:max(len(values), 1)] {
				drawn++
				if !yield(v) {
					return
				}
			}
			if len(values) > 0 {
				return
			}
		}
	})
	return result, drawn, err
}

// Exchange calls a function of Python with streams both ways, each value when the
// answer to the one before is there. It stops after as many answers.
func (r *reverseObjects) Exchange(ctx context.Context, name, codec string, values []int) ([]int, error) {
	f, err := host.Require[func(context.Context, iter.Seq[int]) iter.Seq2[int, error]](ctx, r.host, name, host.WithCodec(codec))
	if err != nil {
		return nil, err
	}
	next := make(chan int, 1)
	next <- values[0]
	send := func(yield func(int) bool) {
		for v := range next {
			if !yield(v) {
				return
			}
		}
	}
	var got []int
	defer close(next)
	for v, err := range f(ctx, send) {
		if err != nil {
			return got, err
		}
		if got = append(got, v); len(got) == len(values) {
			break
		}
		next <- values[len(got)]
	}
	return slices.Clip(got), nil
}
