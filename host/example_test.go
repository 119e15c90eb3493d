package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// twoHosts makes a server and a client that is linked to it. In a program they
// are in two processes.
func twoHosts() (server, client *host.Host, stop func()) {
	dir, err := os.MkdirTemp("", "carp")
	check(err)
	target := "unix://" + filepath.Join(dir, "s")

	server, err = host.New("server")
	check(err)
	_, err = server.Listen(context.Background(), target)
	check(err)

	client, err = host.New("client")
	check(err)
	_, err = client.Connect(context.Background(), target)
	check(err)
	return server, client, func() {
		client.Close()
		server.Close()
		os.RemoveAll(dir)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func Example() {
	server, client, stop := twoHosts()
	defer stop()
	ctx := context.Background()

	_, err := server.Export("upper", strings.ToUpper)
	check(err)

	upper, err := host.Require[func(context.Context, string) (string, error)](ctx, client, "upper")
	check(err)
	fmt.Println(upper(ctx, "carp"))
	// Output: CARP <nil>
}

// Stack is exported with all its methods.
type Stack struct {
	values []string
}

func (s *Stack) Push(v string) int {
	s.values = append(s.values, v)
	return len(s.values)
}

func (s *Stack) Pop() (string, error) {
	if len(s.values) == 0 {
		return "", errors.New("the stack is empty")
	}
	top := s.values[len(s.values)-1]
	s.values = s.values[:len(s.values)-1]
	return top, nil
}

func (s *Stack) Drain(into chan<- string) {}

func ExampleHost_Export() {
	h, err := host.New("h")
	check(err)
	defer h.Close()

	exported, err := h.Export("Stack", &Stack{})
	check(err)
	fmt.Println(exported.Methods)
	fmt.Println(exported.Skipped)

	_, err = h.Export("drain", (&Stack{}).Drain)
	fmt.Println(err)
	// Output:
	// [Stack.Pop Stack.Push]
	// [{Drain parameter arg0: chan<- string has no form on the wire}]
	// host "h": export "drain": func(chan<- string) can't be exported: parameter arg0: chan<- string has no form on the wire
}

// Arguments may be given by name when the exporter has named them.
func ExampleCall() {
	server, client, stop := twoHosts()
	defer stop()
	ctx := context.Background()

	_, err := server.Export("repeat", strings.Repeat, host.WithParams("text", "times"))
	check(err)
	_, err = client.RequireConn(ctx, "repeat") // wait for it
	check(err)

	fmt.Println(host.Call[string](ctx, client, "repeat", "ab", 2))
	fmt.Println(host.Call[string](ctx, client, "repeat", "ab", host.Kwargs{"times": 3}))
	_, err = host.Call[string](ctx, client, "repeat", "ab", host.Kwargs{"count": 3})
	fmt.Println(err)
	// Output:
	// abab <nil>
	// ababab <nil>
	// repeat: InvalidArgument (carp.BindError): there is no parameter "count": it takes text, times
}

// The host that was dialled calls the one that dialled it, over the same link.
func ExampleHost_Connect() {
	server, client, stop := twoHosts()
	defer stop()
	ctx := context.Background()

	_, err := client.Export("name", func() string { return "the client" })
	check(err)
	_, err = server.Export("greet", func(ctx context.Context) (string, error) {
		name, err := host.Require[func(context.Context) (string, error)](ctx, server, "name")
		if err != nil {
			return "", err
		}
		who, err := name(ctx)
		return "hello, " + who, err
	})
	check(err)

	greet, err := host.Require[func(context.Context) (string, error)](ctx, client, "greet")
	check(err)
	fmt.Println(greet(ctx))
	// Output: hello, the client <nil>
}

// A generated service is registered with the host; its client gets a connection
// from it.
func ExampleHost_RequireConn() {
	server, client, stop := twoHosts()
	defer stop()
	ctx := context.Background()

	greeterpb.RegisterGreeterServer(server, greeter{greeting: "Hello"})

	conn, err := client.RequireConn(ctx, "carp.examples.greeter.v1.Greeter")
	check(err)
	reply, err := greeterpb.NewGreeterClient(conn).Greet(ctx, &greeterpb.GreetRequest{Name: "Ada"})
	check(err)
	fmt.Println(reply.GetText())
	// Output: Hello Ada
}

// A remote error has its text, a code, and the name of its type.
func ExampleError() {
	server, client, stop := twoHosts()
	defer stop()

	_, err := server.Export("Stack", &Stack{})
	check(err)
	pop, err := host.Require[func() (string, error)](context.Background(), client, "Stack.Pop")
	check(err)

	_, err = pop()
	if e, ok := errors.AsType[*host.Error](err); ok {
		fmt.Println(e.Message())
		fmt.Println(e.Code() == codes.Unknown, e.Exception(), e.Remote())
	}
	// Output:
	// the stack is empty
	// true errors.errorString true
}
