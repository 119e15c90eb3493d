// Command tenminutes is the Go half of "Python and Go in ten minutes": it exports
// a calculator, and shouts with what a Python process exports.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

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

// Shout has a Python process shout.
func (c Calculator) Shout(ctx context.Context, text string) (string, error) {
	shout, err := host.Require[func(context.Context, string) (string, error)](ctx, c.host, "shout")
	if err != nil {
		return "", err
	}
	return shout(ctx, text)
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
	return h.Serve(ctx, target)
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
