package testproc_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

func TestMain(m *testing.M) {
	testproc.Main(m, map[string]testproc.Role{
		"echo":   echo,
		"args":   func(c *testproc.Child) error { c.Ready("%q", c.Args); return nil },
		"pid":    func(c *testproc.Child) error { c.Ready("%d", os.Getpid()); return nil },
		"fail":   func(*testproc.Child) error { return errors.New("role failed on purpose") },
		"panic":  func(*testproc.Child) error { panic("role panics on purpose") },
		"stuck":  func(c *testproc.Child) error { c.Ready("stuck"); select {} },
		"nobr":   func(c *testproc.Child) error { _, err := io.WriteString(c.Out, "one\ntwo"); return err },
		"race":   func(*testproc.Child) error { fmt.Fprintln(os.Stderr, "WARNING: DATA RACE"); return nil },
		"parent": parent,
	})
}

// echo answers every line until its input ends.
func echo(c *testproc.Child) error {
	for {
		line, err := c.In.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		c.Ready("echo %s", strings.TrimSpace(line))
	}
}

// parent starts a child that never reads its input, tells its process id and
// dies without a word, as a crashed test does.
func parent(c *testproc.Child) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "CARP_TESTPROC_ROLE=stuck")
	cmd.Stdout = os.Stdout
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.Ready("%d", cmd.Process.Pid)
	select {}
}

func TestLinesGoBothWays(t *testing.T) {
	p := testproc.Start(t, "echo")
	for i := range 3 {
		p.Send("line " + strconv.Itoa(i))
		if got, want := p.ReadLine(), fmt.Sprintf("echo line %d", i); got != want {
			t.Fatalf("ReadLine() = %q, want %q", got, want)
		}
	}
	p.CloseInput()
	p.CloseInput()
	if err := p.Wait(); err != nil {
		t.Fatalf("Wait() = %v after the input ended, want nil", err)
	}
}

func TestArgs(t *testing.T) {
	args := []string{"-test.run=none", "two words", ""}
	p := testproc.Start(t, "args", args...)
	if diff := cmp.Diff(fmt.Sprintf("%q", args), p.ReadLine()); diff != "" {
		t.Errorf("the child's Args (-want +got):\n%s", diff)
	}
}

func TestPID(t *testing.T) {
	p := testproc.Start(t, "pid")
	if got, want := p.ReadLine(), strconv.Itoa(p.PID()); got != want {
		t.Errorf("PID() = %s, the child says %s", want, got)
	}
	if p.PID() == os.Getpid() {
		t.Error("the child runs in the test's own process")
	}
}

func TestLastLineWithoutBreak(t *testing.T) {
	p := testproc.Start(t, "nobr")
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	got := []string{p.ReadLine(), p.ReadLine()}
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Errorf("lines read after the child's end (-want +got):\n%s", diff)
	}
}

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		role string
		code int
		log  string // what the test's log must show of the child's stderr
	}{
		{role: "fail", code: 1, log: "role failed on purpose"},
		{role: "panic", code: 2, log: "role panics on purpose"},
		{role: "no such role", code: 3, log: `no role "no such role"`},
	} {
		t.Run(tc.role, func(t *testing.T) {
			tb := &recorder{TB: t}
			err := testproc.Start(tb, tc.role).Wait()
			tb.cleanup()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != tc.code {
				t.Errorf("Wait() = %v, want exit status %d", err, tc.code)
			}
			if !strings.Contains(tb.log(), tc.log) {
				t.Errorf("the test's log lacks %q:\n%s", tc.log, tb.log())
			}
		})
	}
}

func TestKillReaps(t *testing.T) {
	p := testproc.Start(t, "stuck")
	p.ReadLine()
	p.Kill()
	p.Kill()
	if err := p.Wait(); err == nil {
		t.Error("Wait() = nil after Kill, want an error")
	}
	p.Signal(os.Interrupt) // to a child that is gone: a no-op
}

func TestCleanupKills(t *testing.T) {
	tb := &recorder{TB: t}
	p := testproc.Start(tb, "stuck")
	p.ReadLine()
	tb.cleanup()
	if err := p.Wait(); err == nil {
		t.Error("the child ended by itself, want it killed by the cleanup")
	}
	if tb.failed {
		t.Errorf("killing a child in the cleanup failed its test:\n%s", tb.log())
	}
}

func TestRaceReportFailsTheTest(t *testing.T) {
	tb := &recorder{TB: t}
	p := testproc.Start(tb, "race")
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	tb.cleanup()
	if !tb.failed {
		t.Error("a race report on the child's stderr did not fail the test")
	}
}

func TestReadLineFromEndedChild(t *testing.T) {
	tb := &recorder{TB: t}
	p := testproc.Start(tb, "fail")
	tb.run(func() { p.ReadLine() })
	tb.cleanup()
	if !tb.failed || !strings.Contains(tb.log(), "exit status 1") {
		t.Errorf("ReadLine of a child that ended must fail the test with its exit status; log:\n%s", tb.log())
	}
}

// TestChildDoesNotOutliveItsParent kills a parent whose child reads nothing and
// never returns.
func TestChildDoesNotOutliveItsParent(t *testing.T) {
	t.Parallel() // it waits for the grace of an orphan
	if runtime.GOOS != "linux" {
		testproc.Unable(t, "needs /proc to watch a process that is not our child")
	}
	p := testproc.Start(t, "parent")
	var pid int
	for range 2 {
		line := p.ReadLine()
		if n, err := strconv.Atoi(line); err == nil {
			pid = n
		} else if line != "stuck" {
			t.Fatalf("unexpected line %q", line)
		}
	}
	p.Kill()
	// Nobody tells us of the end of a process that is not our child: look.
	exe := filepath.Join("/proc", strconv.Itoa(pid), "exe")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(60 * time.Second); ; <-tick.C {
		if _, err := os.Readlink(exe); err != nil {
			return // gone, or a zombie, which has no executable
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs a minute after its parent was killed", pid)
		}
	}
}
