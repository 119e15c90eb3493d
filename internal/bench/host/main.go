// Host compares calls through a host with stock grpc-go over a unix socket: a function
// that is required and takes and returns bytes, in msgpack, and a generated stub with a
// message of the same bytes. Hosts are linked over shared memory or a unix socket; local
// calls go to a function of the caller's own host. What comes back is checked.
//
//	go run ./internal/bench/host [-rows regexp] [-rounds n] [-time d]
//
// Under each row stand the goals that it is measured by, which are ratios of medians.
package main

import (
	"context"
	"fmt"
	"io"
	"regexp"

	"github.com/carp-rpc/carp-go/internal/bench"
)

func main() {
	bench.Main(bench.Suite{Server: serve, Client: connect, Run: run})
}

// The stacks.
const (
	unixStack     = "grpc-go, unix"
	shmStack      = "host, shm"
	hostUnixStack = "host, unix"
	localStack    = "host, local"
)

// Settings in Case.Set.
const (
	setAround   = "interceptors" // how many are around each call
	setDeadline = "deadline"     // of each call, if set
)

var stacks = []bench.Case{
	{Stack: unixStack},
	{Stack: shmStack},
	bench.Case{Stack: shmStack}.With(setDeadline, "30s"),
	bench.Case{Stack: shmStack}.With(setAround, "3"),
	{Stack: hostUnixStack},
	{Stack: localStack},
	bench.Case{Stack: localStack}.With(setDeadline, "30s"),
	bench.Case{Stack: localStack}.With(setAround, "3"),
}

// goals are the most that a line's p50 may be of grpc-go's, with small messages and one
// caller.
var goals = map[string]float64{
	shmStack:   1. / 15,
	localStack: 1. / 50,
}

var workloads = []bench.Case{
	{Size: 64, Callers: 1},
	{Size: 64, Callers: 8},
	{Size: 64 << 10, Callers: 1},
}

func title(w bench.Case) string {
	return fmt.Sprintf("%s, callers %d", bench.SizeText(w.Size), w.Callers)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p := bench.NewProgram("host")
	lines := p.Flags.String("stacks", "", "regular expression of the stacks to compare with grpc-go's")
	if err := p.Parse(args); err != nil {
		return err
	}
	among, err := regexp.Compile(*lines)
	if err != nil {
		return err
	}
	for _, w := range workloads {
		err := p.Print(ctx, out, title(w), cases(w, among), func(row bench.Row) {
			if w.Size == 64 && w.Callers == 1 {
				writeGoals(out, row)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cases are the lines of a row, grpc-go's first.
func cases(w bench.Case, among *regexp.Regexp) []bench.Case {
	var all []bench.Case
	for i, s := range stacks {
		if i > 0 && !among.MatchString(s.Label()) {
			continue
		}
		c := w
		c.Stack, c.Set = s.Stack, s.Set
		all = append(all, c)
	}
	return all
}

func writeGoals(out io.Writer, row bench.Row) {
	for i, c := range row.Cases {
		goal, ok := goals[c.Label()]
		if !ok {
			continue
		}
		ratio := row.Ratio(i, func(r bench.Result) float64 { return float64(r.P50) })
		word := "met   "
		if ratio > goal {
			word = "MISSED"
		}
		fmt.Fprintf(out, "  %s %s, p50: 1/%.1f, goal at most 1/%.0f\n", word, c.Label(), 1/ratio, 1/goal)
	}
}
