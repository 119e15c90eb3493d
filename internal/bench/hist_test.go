package bench_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// TestQuantile compares with the quantiles of the sorted durations, over all
// magnitudes.
func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h bench.Histogram
	var all []time.Duration
	for range 100_000 {
		d := time.Duration(rng.Uint64() >> (1 + rng.UintN(60)))
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .01, .25, .5, .9, .99, .999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		got := h.Quantile(q)
		if diff := (got - want).Abs(); diff > want/100 {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
}

func TestQuantileOfSmallNumbersIsExact(t *testing.T) {
	for d := range time.Duration(256) {
		var h bench.Histogram
		h.Record(d)
		if got := h.Quantile(.5); got != d {
			t.Errorf("quantile of %v alone: got %v", d, got)
		}
	}
}

func TestQuantileOfNothing(t *testing.T) {
	var h bench.Histogram
	if got := h.Quantile(.5); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
	if got := h.Mean(); got != 0 {
		t.Errorf("mean: got %v, want 0", got)
	}
}

func TestHistogramAdds(t *testing.T) {
	var a, b bench.Histogram
	a.Record(10)
	b.Record(30)
	b.Record(50)
	a.Add(&b)
	if got := a.Quantile(.5); got != 30 {
		t.Errorf("median of both: got %v, want 30ns", got)
	}
	if got := a.Mean(); got != 30 {
		t.Errorf("mean of both: got %v, want 30ns", got)
	}
}
