// Direct compares the direct transport with stock grpc-go over a unix socket: the same
// generated stubs, the same handlers, the same options, in two processes. Each call has
// a deadline and a pair of metadata, and what comes back is checked.
//
//	go run ./internal/bench/direct [-rows regexp] [-quick] [-rounds n] [-time d]
//
// Under each row stand the goals that it is measured by. They are ratios, so they
// mean the same on any machine; on a noisy one the tails mean little.
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

func main() {
	bench.Main(bench.Suite{Server: serve, Client: connect, Run: run})
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p := bench.NewProgram("direct")
	p.Plan.Wait, p.Plan.Repeats = 3*time.Second, 3
	quick := p.Flags.Bool("quick", false, "one short round of each row, quiet or not")
	if err := p.Parse(args); err != nil {
		return err
	}
	if *quick {
		*p.Plan = hurried(*p.Plan)
	}
	own := overhead()
	fmt.Fprintf(out, "allocs/op is client + server; in brackets without the %d that messages, context and metadata take\n\n", own)
	for _, r := range rows {
		err := p.Row(ctx, r.name, r.cases(), func(row bench.Row) error { return r.write(out, row, own) })
		if err != nil {
			return err
		}
	}
	return nil
}

// hurried is a plan for a look in passing.
func hurried(p bench.Plan) bench.Plan {
	p.Rounds, p.Repeats, p.Wait = 1, 0, 0
	p.Times = bench.Times{Warm: 100 * time.Millisecond, Measure: 300 * time.Millisecond}
	return p
}
