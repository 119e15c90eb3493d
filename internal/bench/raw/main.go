// Raw compares the bare connection with a unix socket: echoes of messages, between
// two processes, each compared byte for byte.
//
//	go run ./internal/bench/raw [-rows regexp] [-rounds n] [-time d]
package main

import (
	"context"
	"io"

	"github.com/carp-rpc/carp-go/internal/bench"
)

func main() {
	bench.Main(bench.Suite{Server: serve, Client: connect, Run: run})
}

// row is one comparison: a workload, and the waiting modes of shm to compare with
// the unix socket.
type row struct {
	name  string
	load  bench.Case
	waits []string
}

var rows = []row{
	{"ping-pong 64 B, two CPUs", bench.Case{Size: 64}, []string{"latency", "balanced"}},
	{"ping-pong 64 B, both on one CPU", bench.Case{Size: 64, Pin: bench.One}, []string{"latency", "power"}},
	{"echo 4 KiB", bench.Case{Size: 4 << 10}, []string{"latency", "balanced"}},
	{"echo 64 KiB", bench.Case{Size: 64 << 10}, []string{"latency", "balanced"}},
	{"echo 1 MiB", bench.Case{Size: 1 << 20}, []string{"latency", "balanced"}},
	{"64 connections, 64 B each", bench.Case{Size: 64, Callers: 64}, []string{"balanced"}},
	{"64 connections, 4 KiB each", bench.Case{Size: 4 << 10, Callers: 64}, []string{"balanced"}},
	{"64 connections, 64 KiB each", bench.Case{Size: 64 << 10, Callers: 64}, []string{"balanced"}},
}

func (r row) cases(ring string) []bench.Case {
	base := r.load
	base.Stack = unixStack
	all := []bench.Case{base}
	for _, wait := range r.waits {
		c := r.load.With(setWait, wait)
		c.Stack = shmStack
		if ring != "" {
			c = c.With(setRing, ring)
		}
		all = append(all, c)
	}
	return all
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p := bench.NewProgram("raw")
	ring := p.Flags.String("ring", "", "bytes of shm's rings per direction (empty: the default)")
	if err := p.Parse(args); err != nil {
		return err
	}
	for _, r := range rows {
		if err := p.Print(ctx, out, r.name, r.cases(*ring), nil); err != nil {
			return err
		}
	}
	return nil
}
