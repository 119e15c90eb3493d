package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// TestMain lets the test binary be the child that parent starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := start(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

// output is written by the parent, and by what copies the child's.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// Each process is greeted by the other, whatever carries the link.
func TestBothWays(t *testing.T) {
	transports := []string{"unix"}
	if runtime.GOOS == "linux" {
		transports = append(transports, "shm")
	}
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			dir, err := os.MkdirTemp("", "carp-bothways-") // t.TempDir can be too long for a socket
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			var out output
			if err := parent(t.Context(), transport+"://"+filepath.Join(dir, "s"), &out); err != nil {
				t.Fatalf("%v; output:\n%s", err, &out.buf)
			}
			for _, want := range []string{
				"hello Ada of the parent, says the child\n", "hello Ada 3 of the parent, says the child\n",
				"hello Grace of the child, says the parent\n", "hello Grace 3 of the child, says the parent\n",
			} {
				if !strings.Contains(out.buf.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, &out.buf)
				}
			}
			if n := strings.Count(out.buf.String(), "\n"); n != 8 {
				t.Errorf("%d lines:\n%s", n, &out.buf)
			}
		})
	}
}
