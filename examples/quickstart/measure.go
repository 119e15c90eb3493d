package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A row is one line of the table: a way to call, and how long its calls took.
type row struct {
	transport, codec, method string
	call                     func(ctx context.Context) error
	took                     []time.Duration
}

// measure makes the given number of calls of each row. It goes through all rows
// several times rather than once: what else the machine does then disturbs them
// all alike.
func measure(ctx context.Context, rows []*row, calls int) error {
	const rounds = 10
	for range rounds {
		for _, r := range rows {
			for range calls / rounds {
				start := time.Now()
				if err := r.call(ctx); err != nil {
					return fmt.Errorf("%s with %s over %s: %w", r.method, r.codec, r.transport, err)
				}
				r.took = append(r.took, time.Since(start))
			}
		}
	}
	for _, r := range rows {
		slices.Sort(r.took)
	}
	return nil
}

// percentile returns the latency that p of 100 calls did not exceed. The row must
// have been measured.
func (r *row) percentile(p int) time.Duration {
	return r.took[(len(r.took)*p+99)/100-1]
}
