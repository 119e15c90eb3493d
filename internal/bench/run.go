package bench

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience is how long a run may take beyond its times: to start two processes, connect
// them, and end them. A run that takes longer hangs.
const patience = 20 * time.Second

// Run measures c once. profiles is a directory for CPU profiles of both
// processes, or "".
func Run(ctx context.Context, c Case, t Times, profiles string) (Result, error) {
	dir, err := os.MkdirTemp("", "carp-bench")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	c.Addr = filepath.Join(dir, "sock")
	ctx, cancel := context.WithTimeoutCause(ctx, t.Warm+t.Measure+patience, errors.New("the run hangs"))
	defer cancel()
	r, err := run(ctx, c, t, profiles)
	if err != nil {
		return Result{}, fmt.Errorf("bench: %s, %s, %d callers: %w", c.Label(), SizeText(c.Size), max(c.Callers, 1), err)
	}
	return r, nil
}

func run(ctx context.Context, c Case, t Times, profiles string) (Result, error) {
	srv, err := start(ctx, order{server, c, t, profileFile(profiles, server, c)})
	if err != nil {
		return Result{}, err
	}
	defer srv.kill()
	if _, err := srv.report(); err != nil {
		return Result{}, err
	}
	cli, err := start(ctx, order{client, c, t, profileFile(profiles, client, c)})
	if err != nil {
		return Result{}, err
	}
	defer cli.kill()
	if _, err := cli.report(); err != nil {
		return Result{}, err
	}
	r, err := measure(srv, cli)
	if err != nil {
		return Result{}, err
	}
	// The client first: a server may wait for the end of its connections.
	return r, errors.Join(cli.finish(), srv.finish())
}

// measure lets the client measure, between two looks at the server.
func measure(srv, cli *proc) (Result, error) {
	before, err := srv.ask()
	if err != nil {
		return Result{}, err
	}
	done, err := cli.ask()
	if err != nil {
		return Result{}, err
	}
	after, err := srv.ask()
	if err != nil {
		return Result{}, err
	}
	r := done.Result
	r.Server = after.Usage.Since(before.Usage)
	if r.Foreign > 0 {
		own := (r.Client.CPU + r.Server.CPU).Seconds()
		r.Foreign = max(0, r.Foreign-own) / r.Elapsed.Seconds()
	}
	return r, nil
}

func profileFile(dir string, r role, c Case) string {
	if dir == "" {
		return ""
	}
	name := fmt.Sprintf("%s %d %d %s.pprof", c.Label(), c.Size, max(c.Callers, 1), r)
	return filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
}

// proc is a child, seen from its parent.
type proc struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *gob.Encoder // to in
	out    *gob.Decoder
	errs   bytes.Buffer
	waited bool
}

// start runs this program again as a child.
func start(ctx context.Context, o order) (*proc, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &proc{cmd: exec.CommandContext(ctx, self)}
	p.cmd.Env = append(os.Environ(), childEnv+"=1")
	if o.Case.Procs > 0 {
		p.cmd.Env = append(p.cmd.Env, fmt.Sprint("GOMAXPROCS=", o.Case.Procs))
	}
	p.cmd.WaitDelay = time.Second
	p.cmd.Stderr = &p.errs
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.orders, p.out = gob.NewEncoder(p.in), gob.NewDecoder(out)
	if err := pinned(cpusOf(o), p.cmd.Start); err != nil {
		return nil, err
	}
	if err := p.orders.Encode(o); err != nil {
		return nil, errors.Join(p.end(), err)
	}
	return p, nil
}

func cpusOf(o order) []int {
	switch {
	case o.Case.Pin == Free:
		return nil
	case o.Case.Pin == Split && o.Role == client:
		return []int{1}
	default:
		return []int{0}
	}
}

// report waits for the child's next report.
func (p *proc) report() (report, error) {
	var r report
	if err := p.out.Decode(&r); err != nil {
		return r, errors.Join(p.end(), err)
	}
	return r, nil
}

// ask tells the child to go on and waits for its report.
func (p *proc) ask() (report, error) {
	if err := p.orders.Encode(true); err != nil {
		return report{}, errors.Join(p.end(), err)
	}
	return p.report()
}

// finish asks the child to end, and waits until it did.
func (p *proc) finish() error {
	_ = p.in.Close()
	return p.end()
}

// end waits for the child's end, and tells what went wrong in its own words.
func (p *proc) end() error {
	p.waited = true
	err := p.cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(p.errs.String()))
	}
	return err
}

func (p *proc) kill() {
	if !p.waited {
		_ = p.cmd.Process.Kill()
		_ = p.end()
	}
}
