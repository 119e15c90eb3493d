package testproc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

func TestStop(t *testing.T) {
	p := testproc.Start(t, "echo")
	for range 20 {
		p.Send("before") // what wakes it as it is stopped
		p.Stop()
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
		if err != nil || len(threads) == 0 {
			t.Fatalf("threads %v, %v", threads, err)
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// The state comes after the name, which is in brackets.
			if _, state, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(state, "T") {
				t.Errorf("a thread is not stopped: %s", text)
			}
		}
		p.Signal(syscall.SIGCONT)
		if got := p.ReadLine(); got != "echo before" {
			t.Errorf("when it goes on: %q", got)
		}
	}
}
