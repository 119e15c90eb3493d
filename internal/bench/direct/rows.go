package main

import "github.com/carp-rpc/carp-go/internal/bench"

// row is one comparison: a workload, and what the direct transport should make of it.
type row struct {
	name  string
	load  bench.Case
	waits []string // ways to wait of the direct transport, each a line
	per   int      // messages that one operation stands for; 0 is one
	goals []goal
}

// goal bounds a figure of the direct transport, or its ratio to grpc-go's.
type goal struct {
	of    figure
	bound float64
	ratio bool
	wait  string // the line that it is about
}

// Workloads, in Case.Set.
const (
	setKind = "kind" // what a caller does
	setWork = "work" // what the handler does, see work.go
	setWait = "wait" // how the direct transport waits
)

// Kinds of callers.
const (
	kindUnary    = ""         // calls, all on one connection
	kindPingPong = "pingpong" // messages of a bidirectional stream
	kindDownload = "download" // messages of a server stream
	kindPaced    = "paced"    // a call each millisecond
	kindMixed    = "mixed"    // a quick call is measured, a slow one follows
	kindConns    = "conns"    // calls, each caller on a connection of its own
)

func atMost(f figure, bound float64) goal  { return goal{of: f, bound: bound, ratio: true} }
func atLeast(f figure, bound float64) goal { return goal{of: f, bound: bound, ratio: true} }

var rows = []row{
	{
		name: "unary 64 B, 1 caller", load: bench.Case{Size: 64}, waits: []string{waitSpin, waitPark},
		goals: []goal{atMost(p50, 1./40), {of: p50, bound: 3000}, atMost(p50, 1./2).on(waitPark), {of: allocs, bound: 12}},
	},
	{
		name: "unary 64 B, 8 callers", load: bench.Case{Size: 64, Callers: 8}, waits: []string{waitSpin, waitPark},
		goals: []goal{atLeast(rate, 8), atMost(p999, 1), {of: fairness, bound: 0.5}, atMost(cpu, 1./8)},
	},
	{
		name: "unary 64 B, 64 callers", load: bench.Case{Size: 64, Callers: 64}, waits: []string{waitSpin, waitPark},
		goals: []goal{atLeast(rate, 8), atMost(p999, 1), {of: fairness, bound: 0.5}},
	},
	{name: "unary 64 KiB, 1 caller", load: bench.Case{Size: 64 << 10}, goals: []goal{atLeast(rate, 5)}},
	{name: "unary 1 MiB, 1 caller", load: bench.Case{Size: 1 << 20}, goals: []goal{atLeast(rate, 3)}},
	{name: "unary 1 MiB, 8 callers", load: bench.Case{Size: 1 << 20, Callers: 8}, goals: []goal{atLeast(rate, 3)}},
	{
		name: "handler sleeps 1 ms, 64 callers", load: bench.Case{Size: 64, Callers: 64}.With(setWork, workSleep),
		goals: []goal{atLeast(rate, 1), atMost(p99, 1)},
	},
	{
		name: "handler burns 100 µs, 8 callers", load: bench.Case{Size: 64, Callers: 8}.With(setWork, workBurn),
		goals: []goal{atLeast(rate, 1), atMost(p99, 1)},
	},
	{
		name:  "half of the calls 5 µs, half 5 ms, 8 callers (the quick ones)",
		load:  bench.Case{Size: 64, Callers: 8}.With(setWork, workMixed).With(setKind, kindMixed),
		goals: []goal{atLeast(rate, 1), atMost(p99, 1)},
	},
	{
		name: "stream ping-pong 64 B", load: bench.Case{Size: 64}.With(setKind, kindPingPong),
		waits: []string{waitSpin, waitPark}, goals: []goal{atMost(p50, 1./40)},
	},
	{
		name: "server stream of 64 B messages", load: bench.Case{Size: 64}.With(setKind, kindDownload), per: batch,
		goals: []goal{atLeast(rate, 3)},
	},
	{
		name: "server stream of 64 KiB messages", load: bench.Case{Size: 64 << 10}.With(setKind, kindDownload), per: batch,
		goals: []goal{atLeast(rate, 3)},
	},
	{
		name: "a call every 1 ms", load: bench.Case{Size: 64}.With(setKind, kindPaced), waits: []string{waitSpin, waitPark},
		goals: []goal{atMost(p50, 1./2), atMost(cpu, 1)},
	},
	{
		name: "64 busy connections, 64 B", load: bench.Case{Size: 64, Callers: 64}.With(setKind, kindConns),
		goals: []goal{atLeast(rate, 1), atMost(cpu, 1)},
	},
	{
		name: "GC pressure: unary 4 KiB, 8 callers", load: bench.Case{Size: 4 << 10, Callers: 8},
		goals: []goal{atMost(heap, 1), atMost(gcs, 1)},
	},
	{name: "GOMAXPROCS=1, unary 64 B, 1 caller", load: bench.Case{Size: 64, Procs: 1}, goals: []goal{atMost(p50, 1)}},
	{name: "GOMAXPROCS=1, unary 64 B, 8 callers", load: bench.Case{Size: 64, Callers: 8, Procs: 1}, goals: []goal{atLeast(rate, 1), atMost(p999, 1)}},
}

// on is g for another line than the first of the direct transport.
func (g goal) on(wait string) goal {
	g.wait = wait
	return g
}

func (r row) cases() []bench.Case {
	base := r.load
	base.Stack = unixStack
	all := []bench.Case{base}
	waits := r.waits
	if waits == nil {
		waits = []string{waitSpin}
	}
	for _, wait := range waits {
		c := r.load
		c.Stack = directStack
		if wait != waitSpin {
			c = c.With(setWait, wait)
		}
		all = append(all, c)
	}
	return all
}
