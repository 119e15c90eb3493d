package host_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/carp-rpc/carp-go/host"
)

// fatal ends an example that can't go on.
func fatal(err error) {
	panic(err)
}

// pair returns two hosts that are linked, the first with options, and what ends both.
func pair(opts ...host.Option) (server, client *host.Host, end func()) {
	dir, err := os.MkdirTemp("", "carp")
	if err != nil {
		fatal(err)
	}
	ctx := context.Background()
	target := "unix://" + filepath.Join(dir, "s")
	server, err = host.New("server", opts...)
	if err == nil {
		_, err = server.Listen(ctx, target)
	}
	if err == nil {
		client, err = host.New("client")
	}
	if err == nil {
		_, err = client.Connect(ctx, target)
	}
	if err != nil {
		fatal(err)
	}
	return server, client, func() {
		client.Close()
		server.Close()
		os.RemoveAll(dir)
	}
}

// Only what an interface lists is exported.
func ExampleExportAs() {
	server, _, end := pair()
	defer end()
	e, err := host.ExportAs[interface{ Add(a, b int) int }](server, "Calculator", Calculator{})
	fmt.Println(e.Methods, err)
	// Output: [Calculator.Add] <nil>
}

// A struct of functions is a service.
func ExampleRequire_struct() {
	server, client, end := pair()
	defer end()
	server.Export("Calculator", Calculator{})

	calc, err := host.Require[struct {
		Add    func(context.Context, int, int) (int, error)
		Divide func(float64, float64) *host.Future[float64]
	}](context.Background(), client, "Calculator")
	if err != nil {
		fatal(err)
	}
	fmt.Println(calc.Add(context.Background(), 1, 2))
	fmt.Println(calc.Divide(1, 2).Wait(context.Background()))
	// Output:
	// 3 <nil>
	// 0.5 <nil>
}

// A function that returns a sequence streams it.
func ExampleHost_Export_stream() {
	server, client, end := pair()
	defer end()
	server.Export("countdown", func(n int) iter.Seq[int] {
		return func(yield func(int) bool) {
			for ; n > 0 && yield(n); n-- {
			}
		}
	})
	server.Export("sum", func(numbers iter.Seq[int]) (sum int) {
		for n := range numbers {
			sum += n
		}
		return sum
	})

	ctx := context.Background()
	countdown, err := host.Require[func(int) iter.Seq2[int, error]](ctx, client, "countdown")
	if err != nil {
		fatal(err)
	}
	for n, err := range countdown(1_000_000) {
		fmt.Println(n, err)
		if n == 999_999 {
			break // stops the function in the other host
		}
	}
	sum, err := host.Require[func(iter.Seq[int]) (int, error)](ctx, client, "sum")
	if err != nil {
		fatal(err)
	}
	fmt.Println(sum(slices.Values([]int{1, 2, 3})))
	// Output:
	// 1000000 <nil>
	// 999999 <nil>
	// 6 <nil>
}

// Account is a class.
type Account struct{ balance int }

// Deposit is a method of its objects.
func (a *Account) Deposit(amount int) int {
	a.balance += amount
	return a.balance
}

// Objects stay where they are made; the client has references.
func ExampleHost_ExportClass() {
	server, client, end := pair()
	defer end()
	server.ExportClass("Account", func(balance int) *Account { return &Account{balance} })

	type account struct {
		host.Object
		Deposit func(context.Context, int) (int, error)
	}
	ctx := context.Background()
	open, err := host.Require[func(int) (*account, error)](ctx, client, "Account")
	if err != nil {
		fatal(err)
	}
	a, err := open(100)
	if err != nil {
		fatal(err)
	}
	fmt.Println(a.Deposit(ctx, 20))
	fmt.Println(a.Release(ctx))
	// Output:
	// 120 <nil>
	// <nil>
}

// A function is an argument like others.
func ExampleHost_Export_callback() {
	server, client, end := pair()
	defer end()
	server.Export("copy", func(progress func(percent int) error) error {
		for p := 50; p <= 100; p += 50 {
			if err := progress(p); err != nil {
				return err
			}
		}
		return nil
	})
	copyFiles, err := host.Require[func(func(int)) error](context.Background(), client, "copy")
	if err != nil {
		fatal(err)
	}
	fmt.Println(copyFiles(func(percent int) { fmt.Println(percent, "%") }))
	// Output:
	// 50 %
	// 100 %
	// <nil>
}

// An error that both ends know by name is the same on both.
func ExampleRegisterError() {
	errEmpty := errors.New("the cupboard is empty")
	host.RegisterError("kitchen.Empty", errEmpty)

	server, client, end := pair()
	defer end()
	server.Export("bone", func() error { return fmt.Errorf("no bone: %w", errEmpty) })
	bone, err := host.Require[func() error](context.Background(), client, "bone")
	if err != nil {
		fatal(err)
	}
	err = bone()
	fmt.Println(err)
	fmt.Println(errors.Is(err, errEmpty))
	// Output:
	// bone: Unknown (kitchen.Empty): no bone: the cupboard is empty
	// true
}

// A host that shuts down lets its calls finish.
func ExampleHost_Shutdown() {
	server, _, end := pair()
	defer end()
	fmt.Println(server.Shutdown(context.Background()))
	// Output: <nil>
}
