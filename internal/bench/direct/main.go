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
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

func main() {
	bench.Main(bench.Suite{Server: serve, Client: connect, Run: run})
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("direct", flag.ContinueOnError)
	plan := bench.Flags(flags)
	plan.Wait, plan.Repeats = 3*time.Second, 3
	pattern := flags.String("rows", "", "regular expression of the rows to run")
	quick := flags.Bool("quick", false, "one short round of each row, quiet or not")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		*plan = hurried(*plan)
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	own := overhead()
	fmt.Fprintf(out, "allocs/op is client + server; in brackets without the %d that messages, context and metadata take\n\n", own)
	for _, r := range rows {
		if !wanted.MatchString(r.name) {
			continue
		}
		result, err := bench.Compare(ctx, *plan, r.cases())
		if err != nil {
			return err
		}
		if err := r.write(out, result, own); err != nil {
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
