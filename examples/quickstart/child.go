package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"google.golang.org/grpc"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// target is one place at which the child can be reached.
type target struct{ transport, target string }

// announcement is the child's first line of output. Its second and later ones
// are a word for each call that waits.
type announcement struct {
	Targets  map[string]string // by transport
	Baseline string            // the socket of a stock grpc-go server
	Missing  []string          // what this platform hasn't got
}

var transports = []string{"shm", "unix", "tcp"}

// serve is the child: it exports a calculator and a greeter on every transport
// until its standard input ends, which it does with the parent.
func serve(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	h, err := host.New("quickstart child", host.WithInsecureTCP(), host.WithAnnouncements("*"))
	if err != nil {
		return err
	}
	defer h.Close()
	waiting := func() { fmt.Fprintln(out, "waiting") }
	if _, err := h.Export("Calculator", &Calculator{waiting}); err != nil {
		return err
	}
	greeterpb.RegisterGreeterServer(h, greeter{})

	say := announcement{Targets: map[string]string{}, Baseline: filepath.Join(dir, "grpc-go.sock")}
	for transport, t := range map[string]string{
		"shm":  "shm:" + filepath.Join(dir, "shm.sock"),
		"unix": "unix:" + filepath.Join(dir, "unix.sock"),
		"tcp":  "tcp://127.0.0.1:0",
	} {
		addrs, err := h.Listen(ctx, t)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			say.Missing = append(say.Missing, err.Error())
			continue
		case err != nil:
			return err
		case transport == "tcp":
			t = "tcp://" + addrs[0].String()
		}
		say.Targets[transport] = t
	}

	baseline, err := serveBaseline(say.Baseline)
	if err != nil {
		return err
	}
	defer baseline.Stop()
	if err := json.NewEncoder(out).Encode(say); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// serveBaseline serves the same Greeter with nothing but grpc-go.
func serveBaseline(path string) (*grpc.Server, error) {
	lis, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer()
	greeterpb.RegisterGreeterServer(s, greeter{})
	go s.Serve(lis) // until Stop, with nobody to tell an error that comes earlier
	return s, nil
}

// child is the child as the parent sees it.
type child struct {
	cmd      *exec.Cmd
	dir      string
	lines    *bufio.Scanner
	targets  []target
	baseline string
	missing  []string
}

// startChild runs this program again and waits until it serves.
func startChild(ctx context.Context) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carp-quickstart-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, childArg, dir)
	cmd.Stderr = os.Stderr
	c := &child{cmd: cmd, dir: dir}
	if err := c.start(); err != nil {
		c.kill()
		return nil, fmt.Errorf("start the child: %w", err)
	}
	return c, nil
}

func (c *child) start() error {
	// The child lives as long as this pipe is open, and no longer.
	if _, err := c.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.lines = bufio.NewScanner(stdout)
	line, err := c.line()
	if err != nil {
		return err
	}
	var said announcement
	if err := json.Unmarshal(line, &said); err != nil {
		return fmt.Errorf("it said %q: %w", line, err)
	}
	for _, t := range transports {
		if at, ok := said.Targets[t]; ok {
			c.targets = append(c.targets, target{t, at})
		}
	}
	c.baseline, c.missing = said.Baseline, said.Missing
	return nil
}

// line returns the child's next line of output.
func (c *child) line() ([]byte, error) {
	if !c.lines.Scan() {
		return nil, errors.Join(errors.New("the child's output has ended"), c.lines.Err())
	}
	return c.lines.Bytes(), nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the child as a crash would, and removes its directory. Killing it
// again has no effect.
func (c *child) kill() {
	if c.cmd.Process != nil {
		c.cmd.Process.Kill()
		c.cmd.Wait() // its error is that it was killed
	}
	os.RemoveAll(c.dir)
}
