package bench

import (
	"context"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"runtime/pprof"
)

// child is a process of a run. It reads its order from standard input, and then words
// that mean nothing but "go on". It answers with reports:
//
//	server: (ready) report, next: begin → report, next: end → report, end of input: exit
//	client: (warm)  report, next: measure → report, end of input: exit
type child struct {
	order
	in  *gob.Decoder
	out *gob.Encoder
}

// next waits for the parent. It fails with io.EOF when the child is to end.
func (c *child) next() error {
	var word bool
	return c.in.Decode(&word)
}

func (c *child) server(s Suite) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan struct{})
	served := make(chan error, 1)
	go func() { served <- s.Server(ctx, c.Case, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-served:
		return err
	}
	if err := c.out.Encode(report{}); err != nil {
		return err
	}
	if err := c.marks(); err != nil {
		return err
	}
	cancel()
	return <-served
}

// marks reports the usage at the begin and at the end of the measured time, and waits
// for the end of the input.
func (c *child) marks() error {
	if err := c.next(); err != nil {
		return err
	}
	stop, err := c.profile()
	if err != nil {
		return err
	}
	if err := c.out.Encode(report{Usage: TakeUsage()}); err != nil {
		return err
	}
	if err := c.next(); err != nil {
		return err
	}
	if err := c.out.Encode(report{Usage: TakeUsage()}); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	return c.end()
}

// end waits for the end of the input.
func (c *child) end() error {
	if err := c.next(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (c *child) client(s Suite) error {
	load, err := s.Client(context.Background(), c.Case)
	if err != nil {
		return err
	}
	if load.Close != nil {
		defer load.Close()
	}
	if _, err := load.run(c.Case.Callers, c.Times.Warm); err != nil {
		return err
	}
	if err := c.out.Encode(report{}); err != nil {
		return err
	}
	if err := c.next(); err != nil {
		return err
	}
	r, err := c.measure(load)
	if err != nil {
		return err
	}
	if err := c.out.Encode(report{Result: r}); err != nil {
		return err
	}
	return c.end()
}

func (c *child) measure(load Load) (Result, error) {
	stop, err := c.profile()
	if err != nil {
		return Result{}, err
	}
	before, busy := TakeUsage(), machineBusy()
	r, err := load.run(c.Case.Callers, c.Times.Measure)
	if err != nil {
		return Result{}, err
	}
	r.Client = TakeUsage().Since(before)
	r.Foreign = (machineBusy() - busy).Seconds() // of all; the parent takes off what is ours
	return r, stop()
}

// profile starts a CPU profile, if one is wanted.
func (c *child) profile() (stop func() error, err error) {
	if c.Profile == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(c.Profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
