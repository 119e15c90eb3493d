// Command bothways is a service generated from a .proto file that two processes
// export to each other: a parent, which listens, and a child, which dials. Each calls
// the other's Greeter over the one link between them, unary and with a stream:
//
//	go run ./examples/bothways [target]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// childArg has the program be the child. The target to link with follows.
const childArg = "child"

func main() {
	if err := start(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == childArg {
		return child(ctx, args[1], os.Stdin, os.Stdout)
	}
	if len(args) > 0 {
		return parent(ctx, args[0], os.Stdout)
	}
	dir, err := os.MkdirTemp("", "carp-bothways-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return parent(ctx, "unix:"+filepath.Join(dir, "greeter.sock"), os.Stdout)
}

// greeter greets, and says where.
type greeter struct {
	greeterpb.UnimplementedGreeterServer
	name string
}

func (g greeter) Greet(ctx context.Context, r *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	who, _ := host.Caller(ctx)
	return &greeterpb.GreetReply{Text: fmt.Sprintf("hello %s of the %s, says the %s", r.GetName(), who.Label, g.name)}, nil
}

func (g greeter) GreetAll(stream greeterpb.Greeter_GreetAllServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply, err := g.Greet(stream.Context(), r)
		if err == nil {
			err = stream.Send(reply)
		}
		if err != nil {
			return err
		}
	}
}

// newHost is a host that exports its Greeter.
func newHost(name string) (*host.Host, error) {
	h, err := host.New(name)
	if err != nil {
		return nil, err
	}
	return h, h.ExportService(&greeterpb.Greeter_ServiceDesc, greeter{name: name})
}

// parent listens, starts the child, and calls it.
func parent(ctx context.Context, target string, out io.Writer) error {
	h, err := newHost("parent")
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Listen(ctx, target); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self, childArg, target) //nolint:gosec // this program, and what its user has said
	c.Stdout, c.Stderr = out, os.Stderr
	leave, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	called := call(ctx, h, "child", "Ada", out)
	leave.Close() // the child ends
	return errors.Join(called, c.Wait())
}

// child links with the parent and calls it, on the link by which the parent calls
// back. It stays until its standard input ends.
func child(ctx context.Context, target string, in io.Reader, out io.Writer) error {
	h, err := newHost("child")
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Connect(ctx, target); err != nil {
		return err
	}
	if err := call(ctx, h, "parent", "Grace", out); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// call calls the Greeter of another host. Without the picker calls would go to this
// host's own.
func call(ctx context.Context, h *host.Host, other, name string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := h.RequireConn(ctx, greeterpb.Greeter_ServiceDesc.ServiceName, host.WithPicker(host.OnHost(other)))
	if err != nil {
		return err
	}
	client := greeterpb.NewGreeterClient(conn)
	reply, err := client.Greet(ctx, &greeterpb.GreetRequest{Name: name})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, reply.GetText())
	stream, err := client.GreetAll(ctx)
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := stream.Send(&greeterpb.GreetRequest{Name: fmt.Sprintf("%s %d", name, i+1)}); err != nil {
			return err
		}
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, reply.GetText())
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ends with %w", err)
	}
	return nil
}
