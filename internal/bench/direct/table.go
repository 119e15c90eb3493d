package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// figure is a figure of a result.
type figure struct {
	name string
	of   bench.Figure
	text func(float64) string
	rel  bool // the ratio to grpc-go's is given too
	more bool // more is better
}

var (
	p50      = figure{"p50", func(r bench.Result) float64 { return float64(r.P50) }, duration, true, false}
	p99      = figure{"p99", func(r bench.Result) float64 { return float64(r.P99) }, duration, true, false}
	p999     = figure{"p99.9", func(r bench.Result) float64 { return float64(r.P999) }, duration, true, false}
	rate     = figure{"op/s", bench.Result.PerSecond, count, true, true}
	cpu      = figure{"CPU/op", func(r bench.Result) float64 { return float64(r.CPU()) }, duration, true, false}
	allocs   = figure{"allocs/op", func(r bench.Result) float64 { return r.Allocs() + r.ServerAllocs() }, count, false, false}
	heap     = figure{"heap B/op", func(r bench.Result) float64 { return float64(r.Client.Bytes+r.Server.Bytes) / float64(r.Ops) }, count, true, false}
	gcs      = figure{"GCs/1000 op", func(r bench.Result) float64 { return 1000 * float64(r.Client.GCs+r.Server.GCs) / float64(r.Ops) }, count, true, false}
	fairness = figure{"slowest/fastest", func(r bench.Result) float64 { return float64(r.Fewest) / float64(r.Most) }, fraction, false, true}
)

var columns = []figure{p50, p99, p999, rate, cpu, allocs, heap, gcs, fairness}

// write writes a row: a line for each case, ratios to grpc-go in parentheses, and the
// goals.
func (r row) write(w io.Writer, result bench.Row, own int) error {
	fmt.Fprintf(w, "%s (%s)\n", r.name, noise(result))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  ")
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	fmt.Fprintln(t)
	for i, c := range result.Cases {
		fmt.Fprintf(t, "  %s", line(c))
		for _, f := range columns {
			fmt.Fprintf(t, "\t%s", f.text(result.Median(i, f.of)))
			switch {
			case f.rel && i > 0:
				fmt.Fprintf(t, " (%s×)", ratio(result.Ratio(i, f.of)))
			case f.name == allocs.name && r.unary():
				fmt.Fprintf(t, " [%s]", count(result.Median(i, f.of)-float64(own)))
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.writeTotals(w, result)
	r.writeGoals(w, result, own)
	_, err := fmt.Fprintln(w)
	return err
}

func line(c bench.Case) string {
	if c.Set[setWait] == waitPark {
		return c.Stack + ", parked"
	}
	return c.Stack
}

// noise says how the rounds were.
func noise(r bench.Row) string {
	var foreign []float64
	for _, round := range r.Rounds {
		for _, result := range round {
			foreign = append(foreign, result.Foreign)
		}
	}
	var sum float64
	for _, f := range foreign {
		sum += f
	}
	return fmt.Sprintf("%d rounds, %d disturbed; others had %.2f CPUs", len(r.Rounds), r.Disturbed, sum/float64(len(foreign)))
}

// unary tells whether an operation is one unary call.
func (r row) unary() bool {
	kind := r.load.Set[setKind]
	return kind == kindUnary || kind == kindConns || kind == kindPaced
}

// writeTotals says what operations that stand for several messages amount to.
func (r row) writeTotals(w io.Writer, result bench.Row) {
	if r.per == 0 {
		return
	}
	for i, c := range result.Cases {
		messages := result.Median(i, rate.of) * float64(r.per)
		fmt.Fprintf(w, "  %s: %.2f million messages/s, %.0f MiB/s\n", line(c), messages/1e6, messages*float64(c.Size)/(1<<20))
	}
}

func (r row) writeGoals(w io.Writer, result bench.Row, own int) {
	for _, g := range r.goals {
		for i, c := range result.Cases {
			if i == 0 || c.Set[setWait] != g.wait {
				continue
			}
			fmt.Fprintf(w, "  %s\n", g.verdict(result, i, own))
		}
	}
}

// verdict says whether case i meets the goal.
func (g goal) verdict(result bench.Row, i, own int) string {
	value, text := result.Median(i, g.of.of), g.of.text
	if g.of.name == allocs.name {
		value -= float64(own)
	}
	if g.ratio {
		value, text = result.Ratio(i, g.of.of), func(f float64) string { return ratio(f) + "×" }
	}
	met, sign := value <= g.bound, "≤"
	if g.of.more {
		met, sign = value >= g.bound, "≥"
	}
	word := "met   "
	if !met {
		word = "MISSED"
	}
	return fmt.Sprintf("%s %s, %s: %s, goal %s %s", word, line(result.Cases[i]), g.of.name, text(value), sign, text(g.bound))
}

func duration(ns float64) string {
	d := time.Duration(ns)
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	default:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	}
}

func count(n float64) string {
	if math.Abs(n) < 100 {
		return fmt.Sprintf("%.3g", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func fraction(f float64) string { return fmt.Sprintf("%.2f", f) }

func ratio(r float64) string {
	if r < 0.1 {
		return fmt.Sprintf("%.3f", r)
	}
	return fmt.Sprintf("%.2f", r)
}
