// Quickstart shows the whole of carp in one run: a program starts itself again as
// a child process, calls what the child exports over shared memory, a unix socket
// and TCP, with every codec, measures that, kills the child, and shows what a
// caller then gets.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"
)

// childArg as the first argument makes the program the child.
const childArg = "child"

// tableCalls is how many calls each line of the table stands for.
const tableCalls = 2000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	if isChild() {
		return serve(ctx, os.Args[2], os.Stdin, os.Stdout)
	}
	return run(ctx, os.Stdout, tableCalls)
}

func isChild() bool { return len(os.Args) == 3 && os.Args[1] == childArg }

// run is the parent. Calls is how many calls each line of the table stands for.
func run(ctx context.Context, out io.Writer, calls int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := startChild(ctx)
	if err != nil {
		return err
	}
	defer c.kill()
	fmt.Fprintf(out, "child process %d serves\n", c.pid())
	for _, t := range c.targets {
		fmt.Fprintf(out, "  %-4s  %s\n", t.transport, t.target)
	}
	for _, why := range c.missing {
		fmt.Fprintf(out, "  %s\n", why)
	}

	var callers []*caller
	for _, t := range c.targets {
		caller, err := connect(ctx, t)
		if err != nil {
			return err
		}
		defer caller.close()
		callers = append(callers, caller)
		fmt.Fprintf(out, "\nover %s\n", t.transport)
		if err := caller.tour(ctx, out); err != nil {
			return fmt.Errorf("over %s: %w", t.transport, err)
		}
	}

	fmt.Fprintf(out, "\n%d calls each, one after the other; %s/%s, %d CPUs, %s\n",
		calls, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if err := compare(ctx, out, c.baseline, callers, calls); err != nil {
		return err
	}

	fmt.Fprintf(out, "\nkilling the child while each of us waits for an answer\n")
	return killAndShow(ctx, out, c, callers)
}
