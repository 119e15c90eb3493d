// Command tenminutes is the Go half of "Python and Go in ten minutes": it exports
// a calculator, and calls what Python processes export or serve.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// Calculator is what Python calls.
type Calculator struct{ host *host.Host }

// Div divides whole numbers.
func (Calculator) Div(a, b int) (quotient, rest int, err error) {
	if b == 0 {
		return 0, 0, errors.New("division by zero")
	}
	return a / b, a % b, nil
}

// Map calls a function of the caller for each number.
func (Calculator) Map(ctx context.Context, f func(context.Context, int) (int, error), numbers []int) ([]int, error) {
	for i, n := range numbers {
		mapped, err := f(ctx, n)
		if err != nil {
			return nil, err
		}
		numbers[i] = mapped
	}
	return numbers, nil
}

// Tally is a class: Python makes objects of it, which live here.
type Tally struct{ sum atomic.Int64 }

// Add returns the sum so far.
func (t *Tally) Add(n int64) int64 { return t.sum.Add(n) }

// Shout has a Python process shout.
func (c Calculator) Shout(ctx context.Context, text string) (string, error) {
	shout, err := host.Require[func(context.Context, string) (string, error)](ctx, c.host, "shout")
	if err != nil {
		return "", err
	}
	return shout(ctx, text)
}

// Greet asks a plain gRPC server for a greeting, with the generated stub.
func (c Calculator) Greet(ctx context.Context, target, name string) (string, error) {
	service := greeterpb.Greeter_ServiceDesc.ServiceName
	if _, err := c.host.ConnectServer(ctx, target, service); err != nil {
		return "", err
	}
	conn, err := c.host.RequireConn(ctx, service)
	if err != nil {
		return "", err
	}
	reply, err := greeterpb.NewGreeterClient(conn).Greet(ctx, &greeterpb.GreetRequest{Name: name})
	return reply.GetText(), err
}

func run(ctx context.Context, target string) error {
	h, err := host.New("calculator")
	if err != nil {
		return err
	}
	_, err = h.Export("Calculator", Calculator{h}, host.WithMethodParams("Div", "a", "b"))
	if err != nil {
		return err
	}
	_, err = h.ExportClass("Tally", func() *Tally { return &Tally{} })
	if err != nil {
		return err
	}
	return h.Serve(ctx, target)
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
