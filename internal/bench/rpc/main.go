// Rpc compares stock grpc-go over the stacks: unary calls, one connection, the same
// options on each. The bufconn of grpc-go, in one process, is given as the
// floor of what a connection can bring.
//
//	go run ./internal/bench/rpc [-rows regexp] [-window n] [-buffer n] [-rounds n] [-time d]
package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/carp-rpc/carp-go/internal/bench"
)

func main() {
	bench.Main(bench.Suite{Server: serve, Client: connect, Run: run})
}

// workloads are the rows: each payload with each number of callers.
var workloads = []bench.Case{
	{Size: 64, Callers: 1}, {Size: 64, Callers: 8},
	{Size: 64 << 10, Callers: 1}, {Size: 64 << 10, Callers: 8},
	{Size: 1 << 20, Callers: 1}, {Size: 1 << 20, Callers: 8},
}

func title(w bench.Case) string {
	return fmt.Sprintf("unary %s, callers %d", bench.SizeText(w.Size), w.Callers)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p := bench.NewProgram("rpc")
	stacks := p.Flags.String("stacks", "unix,shm,bufconn", "stacks to compare, the baseline first")
	window := p.Flags.String(setWindow, "", "bytes of the HTTP/2 windows (empty: gRPC's default)")
	buffer := p.Flags.String(setBuffer, "", "bytes of the read and write buffers (empty: gRPC's default)")
	ring := p.Flags.String(setRing, "", "bytes of shm's rings per direction (empty: the default)")
	if err := p.Parse(args); err != nil {
		return err
	}
	for _, w := range workloads {
		cases := each(set(set(w, setWindow, *window), setBuffer, *buffer), strings.Split(*stacks, ","), *ring)
		if err := p.Print(ctx, out, title(w), cases, func(row bench.Row) { writeGap(out, row) }); err != nil {
			return err
		}
	}
	return nil
}

func set(c bench.Case, name, value string) bench.Case {
	if value == "" {
		return c
	}
	return c.With(name, value)
}

func each(w bench.Case, stacks []string, ring string) []bench.Case {
	var cases []bench.Case
	for _, s := range stacks {
		c := w
		c.Stack = s
		if s == shmStack {
			c = set(c, setRing, ring)
		}
		cases = append(cases, c)
	}
	return cases
}

// writeGap says what part of the way from a unix socket to bufconn shm goes, where
// all three were measured.
func writeGap(out io.Writer, row bench.Row) {
	at := map[string]int{}
	for i, c := range row.Cases {
		at[c.Stack] = i
	}
	if len(at) != len(row.Cases) {
		return
	}
	for _, name := range []string{unixStack, shmStack, bufconnStack} {
		if _, ok := at[name]; !ok {
			return
		}
	}
	p50 := func(name string) float64 {
		return row.Median(at[name], func(r bench.Result) float64 { return float64(r.P50) })
	}
	if gap := p50(unixStack) - p50(bufconnStack); gap > 0 {
		fmt.Fprintf(out, "  shm closes %.0f%% of the gap between the p50 of unix and of bufconn\n",
			100*(p50(unixStack)-p50(shmStack))/gap)
	}
}
