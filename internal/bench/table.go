package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// column is a figure of a table.
type column struct {
	name string
	of   Figure
	text func(float64) string
	rel  bool // the ratio to the baseline is given too
}

var columns = []column{
	{"p50", func(r Result) float64 { return float64(r.P50) }, durationText, true},
	{"p99", func(r Result) float64 { return float64(r.P99) }, durationText, true},
	{"op/s", Result.PerSecond, countText, true},
	{"CPU/op", func(r Result) float64 { return float64(r.CPU()) }, durationText, true},
	{"client CPU/op", func(r Result) float64 { return float64(r.ClientCPU()) }, durationText, true},
	{"allocs/op", Result.Allocs, countText, false},
	{"server allocs/op", Result.ServerAllocs, countText, false},
	{"fairness", fairness, func(f float64) string { return fmt.Sprintf("%.2f", f) }, false},
}

// fairness is what the least served caller had of the most served one's.
func fairness(r Result) float64 { return float64(r.Fewest) / float64(r.Most) }

// WriteRow writes a comparison as a table: a line for each case, figures as medians
// over the rounds, and behind them in parentheses the ratio to the baseline, which is
// the first line.
func WriteRow(w io.Writer, title string, row Row) error {
	note := fmt.Sprintf("%d rounds", len(row.Rounds))
	if row.Disturbed > 0 {
		note += fmt.Sprintf(", %d of them disturbed by other processes", row.Disturbed)
	}
	fmt.Fprintf(w, "%s (%s)\n", title, note)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  ")
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	fmt.Fprintln(t)
	for i, c := range row.Cases {
		fmt.Fprintf(t, "  %s", c.Label())
		for _, col := range columns {
			fmt.Fprintf(t, "\t%s", col.text(row.Median(i, col.of)))
			if col.rel && i > 0 {
				fmt.Fprintf(t, " (%s×)", ratioText(row.Ratio(i, col.of)))
			}
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func durationText(ns float64) string {
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

func countText(n float64) string {
	switch {
	case n < 0.005:
		return "0"
	case n < 100:
		return fmt.Sprintf("%.3g", n)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}

func ratioText(r float64) string {
	if r < 0.1 {
		return fmt.Sprintf("%.3f", r)
	}
	return fmt.Sprintf("%.2f", r)
}
