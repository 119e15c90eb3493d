package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// TestMain lets the test binary be the workers that run starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		if err := start(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

// A worker is killed in the middle, and no job is lost.
func TestRun(t *testing.T) {
	leak.Check(t)
	var out bytes.Buffer
	err := run(t.Context(), &out, 3, 150)
	t.Logf("output:\n%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 workers are linked\n", "after 50 jobs worker ", "150 of 150 jobs are done\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}
