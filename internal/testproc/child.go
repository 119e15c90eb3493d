package testproc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

// roleEnv names the role of a re-executed test binary. Flags would not do: the
// testing package parses them, and a child's arguments are its own.
const roleEnv = "CARP_TESTPROC_ROLE"

// orphanGrace is how long a role may go on after its standard input has ended:
// enough to close what it holds, short enough not to be left behind for long.
const orphanGrace = 10 * time.Second

// Exit codes of a child; a panic exits with 2, the race detector with 66.
const (
	exitRoleFailed  = 1
	exitUnknownRole = 3
	exitOrphaned    = 4
)

// A Role is the body of a child process. The child exits with code 0 when it
// returns nil, otherwise with code 1 after writing the error to standard error.
type Role func(c *Child) error

// Child is what a [Role] knows about its process.
type Child struct {
	// Args are the arguments given to [Start] after the role's name.
	Args []string
	// In is the child's standard input: the lines of [Proc.Send]. It reports
	// [io.EOF] after [Proc.CloseInput], and when the parent is gone.
	In *bufio.Reader
	// Out is the child's standard output, read by [Proc.ReadLine].
	Out io.Writer
}

// Ready writes one line that the parent's [Proc.ReadLine] waits for. The name
// says its usual purpose: telling the parent that the child can be connected to.
func (c *Child) Ready(format string, args ...any) {
	fmt.Fprintf(c.Out, format+"\n", args...)
}

// Main is called from TestMain. In a child started by [Start] it runs the role
// and exits; otherwise it runs the tests and returns, like [testing.M.Run].
func Main(m *testing.M, roles map[string]Role) {
	name, isChild := os.LookupEnv(roleEnv)
	if !isChild {
		m.Run()
		return
	}
	// What the child itself starts is no child of this kind.
	os.Unsetenv(roleEnv)
	os.Exit(runRole(name, roles))
}

func runRole(name string, roles map[string]Role) int {
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "testproc: no role %q in this test binary's TestMain\n", name)
		return exitUnknownRole
	}
	in := newInbox()
	go func() {
		in.fill(os.Stdin)
		time.Sleep(orphanGrace)
		fmt.Fprintf(os.Stderr, "testproc: role %s went on for %v after its input ended\n", name, orphanGrace)
		os.Exit(exitOrphaned)
	}()
	child := &Child{Args: os.Args[1:], In: bufio.NewReader(in), Out: os.Stdout}
	if err := role(child); err != nil {
		fmt.Fprintf(os.Stderr, "testproc: role %s: %v\n", name, err)
		return exitRoleFailed
	}
	return 0
}

// inbox is an unbounded pipe. Standard input is drained into it at once, so that
// its end is noticed even by a role that never reads.
type inbox struct {
	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	ended   bool
}

func newInbox() *inbox {
	b := &inbox{}
	b.changed.L = &b.mu
	return b
}

// fill copies r until it ends.
func (b *inbox) fill(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		b.mu.Lock()
		b.data = append(b.data, buf[:n]...)
		b.ended = err != nil
		b.changed.Broadcast()
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Read implements [io.Reader].
func (b *inbox) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.data) == 0 && !b.ended {
		b.changed.Wait()
	}
	if len(b.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}
