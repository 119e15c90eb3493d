package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// TestMain lets the test binary be the child that run starts.
func TestMain(m *testing.M) {
	if isChild() {
		if err := start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

// TestRun is the whole program but for the number of calls.
func TestRun(t *testing.T) {
	leak.Check(t)
	var out bytes.Buffer
	err := run(t.Context(), &out, 100)
	t.Logf("output:\n%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	served := transports
	if strings.Contains(out.String(), "unsupported") { // shm, by this platform
		served = []string{"unix", "tcp"}
	}
	for pattern, times := range map[string]int{
		`required  Calculator\.Add\(2, 3\) = 5\n`:                                len(served),
		`by name   Calculator\.Div\(7, 2\) = 3\.5\n`:                             len(served),
		`an error  .*division by zero\n`:                                         len(served),
		`streamed  .*: Hello, Ada! Hello, Grace! Hello, Barbara!\n`:              len(served),
		`unix, grpc-go +proto +Greeter\.Greet +[0-9.]+ µs .* 1\.00\n`:            1,
		`(?m)^(shm|unix|tcp) +proto +Greeter\.Greet +[0-9.]+ µs`:                 len(served),
		`(?m)^(shm|unix|tcp) +(proto|msgpack|json|carp) +Calculator\.Add +[0-9]`: 4 * len(served),
		`(?m)^  (shm|unix|tcp) +Calculator\.Wait: Unavailable`:                   len(served),
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(out.String(), -1)); n != times {
			t.Errorf("%q occurs %d times in the output, want %d", pattern, n, times)
		}
	}
}

// TestChildThatFails makes sure that the child says why it can't serve.
func TestChildThatFails(t *testing.T) {
	leak.Check(t)
	dir := filepath.Join(t.TempDir(), "missing")
	err := serve(t.Context(), dir, strings.NewReader(""), &bytes.Buffer{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("serve() in a directory that doesn't exist = %v, want an error that says so and names it", err)
	}
}
