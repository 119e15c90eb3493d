package testproc

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	// patience bounds every wait for a child: far beyond what a loaded machine
	// takes, so that passing it means that the child is stuck.
	patience = 60 * time.Second
	// pipeDelay bounds the wait for output after the child's end, which a
	// grandchild that inherited the pipes would otherwise keep open.
	pipeDelay = 5 * time.Second
)

// Proc is a running child process, seen from its test. Its methods are to be
// called from the goroutine of the test that started it, as [testing.TB.Fatal]
// demands, except for PID, Kill, Signal and Wait, which any goroutine may call.
type Proc struct {
	tb    testing.TB
	role  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *lineQueue

	// exited is closed once the child is reaped and all its output has been
	// read; exitErr is valid from then on.
	exited  chan struct{}
	exitErr error
}

// Start runs this test binary again in the given role, with args as its
// [Child.Args]. It fails the test if the process can't be started. The child is
// killed and reaped at the end of the test, if it has not ended by then.
func Start(tb testing.TB, role string, args ...string) *Proc {
	tb.Helper()
	// Not os.Args[0]: it may be relative to a directory the test has left.
	self, err := os.Executable()
	if err != nil {
		tb.Fatalf("testproc: start %s: find the test binary: %v", role, err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, raceEnv+"="+childRace(os.Getenv(raceEnv)))
	cmd.WaitDelay = pipeDelay
	log := &stderrLog{tb: tb, role: role}
	p := &Proc{tb: tb, role: role, cmd: cmd, lines: newLineQueue(), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.lines, log
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		tb.Fatalf("testproc: start %s: %v", role, err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("testproc: start %s: %v", role, err)
	}
	go p.reap()
	tb.Cleanup(func() {
		p.Kill()
		log.close()
	})
	return p
}

// raceEnv sets up the race detector. A process built with it sleeps for a second
// before it exits, which suites of many short children would spend most of their
// time on. A role that has returned has nothing left to race with.
const raceEnv = "GORACE"

func childRace(settings string) string {
	return strings.TrimSpace(settings + " atexit_sleep_ms=10")
}

func (p *Proc) reap() {
	err := p.cmd.Wait()
	p.lines.close()
	p.exitErr = err
	close(p.exited)
}

// PID returns the child's process id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// ReadLine returns the child's next line of standard output, without its line
// break. It fails the test if none comes within a minute, or if the child ends
// first.
func (p *Proc) ReadLine() string {
	p.tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		line, ok, more := p.lines.next()
		if ok {
			return line
		}
		select {
		case <-more:
		case <-p.exited:
			if line, ok, _ := p.lines.next(); ok {
				return line
			}
			p.tb.Fatalf("testproc: %s ended (%s) while a line of it was awaited", p.role, exitText(p.exitErr))
		case <-timeout.C:
			p.tb.Fatalf("testproc: %s wrote no line within %v", p.role, patience)
		}
	}
}

// Send writes line and a line break to the child's standard input. It fails the
// test if the child no longer reads.
func (p *Proc) Send(line string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.tb.Fatalf("testproc: send %q to %s: %v", line, p.role, err)
	}
}

// CloseInput ends the child's standard input, which asks the role to return:
// [Child.In] reports [io.EOF] from then on. Closing it again is a no-op.
func (p *Proc) CloseInput() {
	p.tb.Helper()
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.tb.Errorf("testproc: close the input of %s: %v", p.role, err)
	}
}

// Signal sends sig to the child. Sending to a child that has ended is a no-op.
// Platforms without signals know only [os.Kill].
func (p *Proc) Signal(sig os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Errorf("testproc: send %v to %s: %v", sig, p.role, err)
	}
}

// Kill ends the child at once, as SIGKILL does, and returns when it is reaped.
// Killing a child that has ended is a no-op.
func (p *Proc) Kill() {
	p.tb.Helper()
	p.Signal(os.Kill)
	<-p.exited
}

// Wait waits for the child to end by itself and returns nil for exit code 0,
// otherwise an [*exec.ExitError]. A child that doesn't end within a minute is
// killed, and the test fails.
func (p *Proc) Wait() error {
	p.tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.tb.Errorf("testproc: %s did not end within %v: killed", p.role, patience)
		p.Kill()
	}
	return p.exitErr
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
