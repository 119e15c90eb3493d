package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// caller is one way to the child: a host that is linked with it over one
// transport, and what it requires.
type caller struct {
	transport string
	host      *host.Host
	add       func(ctx context.Context, a, b int) (int, error)
	wait      func(ctx context.Context) error
	greeter   greeterpb.GreeterClient
}

// connect links with the child and waits until it exports what we need.
func connect(ctx context.Context, to target) (*caller, error) {
	h, err := host.New("quickstart over "+to.transport, host.WithInsecureTCP(), host.WithAnnouncements("*"))
	if err != nil {
		return nil, err
	}
	c := &caller{transport: to.transport, host: h}
	if err := c.require(ctx, to.target); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *caller) require(ctx context.Context, target string) error {
	if _, err := c.host.Connect(ctx, target); err != nil {
		return err
	}
	var err error
	if c.add, err = host.Require[func(context.Context, int, int) (int, error)](ctx, c.host, "Calculator.Add"); err != nil {
		return err
	}
	if c.wait, err = host.Require[func(context.Context) error](ctx, c.host, "Calculator.Wait"); err != nil {
		return err
	}
	conn, err := c.host.RequireConn(ctx, greeterpb.Greeter_ServiceDesc.ServiceName)
	if err != nil {
		return err
	}
	c.greeter = greeterpb.NewGreeterClient(conn)
	return nil
}

func (c *caller) close() { c.host.Close() }

// tour makes one call of each kind and prints what comes back.
func (c *caller) tour(ctx context.Context, out io.Writer) error {
	sum, err := c.add(ctx, 2, 3)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  required  Calculator.Add(2, 3) = %d\n", sum)

	quotient, err := host.Call[float64](ctx, c.host, "Calculator.Div", 7, 2, host.WithCodec("json"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  by name   Calculator.Div(7, 2) = %v\n", quotient)

	_, err = host.Call[float64](ctx, c.host, "Calculator.Div", 1, 0)
	var remote *host.Error
	if !errors.As(err, &remote) {
		return fmt.Errorf("division by zero: got %v, want the error of the other process", err)
	}
	fmt.Fprintf(out, "  an error  %v\n", remote)

	greetings, err := c.greetAll(ctx, "Ada", "Grace", "Barbara")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  streamed  Greeter.GreetAll: %s\n", strings.Join(greetings, " "))
	return nil
}

// greetAll asks for each greeting when it has got the one before.
func (c *caller) greetAll(ctx context.Context, names ...string) ([]string, error) {
	stream, err := c.greeter.GreetAll(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		if err := stream.Send(&greeterpb.GreetRequest{Name: name}); err != nil {
			return nil, err
		}
		reply, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		all = append(all, reply.GetText())
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("at the end of the stream: got %v, want EOF", err)
	}
	return all, nil
}

// killAndShow kills the child while each caller has a call under way, and prints
// what the callers get.
func killAndShow(ctx context.Context, out io.Writer, c *child, callers []*caller) error {
	results := make([]chan error, len(callers))
	for i, caller := range callers {
		results[i] = make(chan error, 1)
		go func() { results[i] <- caller.wait(ctx) }()
		if _, err := c.line(); err != nil { // the call has arrived
			return err
		}
	}
	c.kill()
	for i, caller := range callers {
		err := <-results[i]
		if status.Code(err) != codes.Unavailable {
			return fmt.Errorf("over %s the killed child's caller got %v, want the code Unavailable", caller.transport, err)
		}
		fmt.Fprintf(out, "  %-4s  %v\n", caller.transport, err)
	}
	return nil
}
