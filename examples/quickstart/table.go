package main

import (
	"fmt"
	"io"
	"time"
)

// printTable prints the rows, each with its median in proportion to that of
// baseline, which is the first line.
func printTable(out io.Writer, baseline *row, rows []*row) {
	const line = "%-13s  %-9s  %-16s  %10s  %10s  %7s\n"
	fmt.Fprintf(out, line, "transport", "codec", "method", "p50", "p99", "ratio")
	for _, r := range append([]*row{baseline}, rows...) {
		ratio := float64(r.percentile(50)) / float64(baseline.percentile(50))
		fmt.Fprintf(out, line, r.transport, r.codec, r.method,
			micros(r.percentile(50)), micros(r.percentile(99)), fmt.Sprintf("%.2f", ratio))
	}
}

func micros(d time.Duration) string {
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}
