package bench

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Suite is a benchmark program.
type Suite struct {
	// Server serves c at c.Addr, calls ready once it can be connected to, and
	// returns when ctx ends.
	Server func(ctx context.Context, c Case, ready func()) error

	// Client connects to the server and makes the load.
	Client func(ctx context.Context, c Case) (Load, error)

	// Run is the program: it reads its arguments, measures with [Compare] and
	// prints what it measured.
	Run func(ctx context.Context, args []string, out io.Writer) error
}

// Main is the body of a suite's main. It does not return.
func Main(s Suite) {
	if _, ok := os.LookupEnv(childEnv); ok {
		os.Unsetenv(childEnv)
		os.Exit(exitCode(s.child()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := s.Run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childEnv makes a program a child.
const childEnv = "CARP_BENCH_CHILD"

// role is what a child is.
type role string

const (
	server role = "server"
	client role = "client"
)

// order is the first thing that a child reads.
type order struct {
	Role    role
	Case    Case
	Times   Times
	Profile string // file for a CPU profile of the measured time, or ""
}

// report is what a child writes. What it holds depends on when.
type report struct {
	Usage  Usage  // the server's, when asked
	Result Result // the client's, at its end
}

func (s Suite) child() error {
	c := child{in: gob.NewDecoder(os.Stdin), out: gob.NewEncoder(os.Stdout)}
	if err := c.in.Decode(&c.order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	do := c.client
	if c.Role == server {
		do = c.server
	}
	if err := do(s); err != nil {
		return fmt.Errorf("%s %s: %w", c.Role, c.Case.Label(), err)
	}
	return nil
}
