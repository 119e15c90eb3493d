//go:build linux

// Package model_test runs the exploration of the connection's code in package interleave,
// which has to be compiled in a way of its own.
package model_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/overlay"

	// The results of this test depend on them, and may be cached as long as these
	// don't change.
	_ "github.com/carp-rpc/carp-go/internal/explore"
	_ "github.com/carp-rpc/carp-go/internal/explore/atomic"
	_ "github.com/carp-rpc/carp-go/internal/explore/sync"
	_ "github.com/carp-rpc/carp-go/internal/shm"
	_ "github.com/carp-rpc/carp-go/internal/shm/model/sim"
	_ "github.com/carp-rpc/carp-go/shmconn"
)

const (
	shmDir     = ".."
	shmconnDir = "../../../shmconn"
	simPath    = "github.com/carp-rpc/carp-go/internal/shm/model/sim"
)

// pattern selects scenarios.
var pattern = flag.String("explore", ".", "regular expression of the scenarios that TestEveryOrder runs")

// explored are the files under control.
var explored = map[string][]string{
	shmDir:     {"ring.go", "wait.go", "words_unsafe.go", "futex_linux_unsafe.go", "session.go", "doorbell_linux.go"},
	shmconnDir: {"conn.go", "half.go", "door.go", "read.go", "write.go", "deadline.go"},
}

// sockets are the edits that give a session a simulated socket.
var sockets = map[string][]overlay.Edit{
	"session.go": {
		{Old: "ctl  *net.UnixConn\n", New: "ctl modelSocket\n"},
		{Old: "ctl *net.UnixConn,", New: "ctl modelSocket,"},
		{Old: "\"net\"\n", New: "_ \"net\"\n"},
	},
}

// code is the overlay, with edits by file name.
func code(t *testing.T, edits map[string][]overlay.Edit) *overlay.Overlay {
	t.Helper()
	var o overlay.Overlay
	imports := overlay.StandIns()
	imports["golang.org/x/sys/unix"] = simPath
	for dir, files := range explored {
		for _, name := range files {
			use := imports
			if name != "doorbell_linux.go" {
				use = overlay.StandIns()
			}
			if err := o.Explore(filepath.Join(dir, name), use, append(sockets[name], edits[name]...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &o
}

// run compiles the code with the edits and runs the tests that match pattern.
func run(t *testing.T, pattern string, edits map[string][]overlay.Edit) (output string, err error) {
	t.Helper()
	o := code(t, edits)
	add(t, o, "interleave/shm.go.txt", filepath.Join(shmDir, "zz_model.go"))
	add(t, o, "interleave/shmconn.go.txt", filepath.Join(shmconnDir, "zz_model.go"))
	depend(t, "interleave")
	file, err := o.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-vet=off", "-tags=explore", "-overlay="+file, "-run="+pattern, "-v", "-timeout=5m", "./interleave")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// depend makes the results of this test depend on the files of a folder that another
// process compiles: a test's cached result is good only as long as what it opened
// doesn't change.
func depend(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func add(t *testing.T, o *overlay.Overlay, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Add(to, string(text)); err != nil {
		t.Fatal(err)
	}
}

// TestEveryOrder: whatever the order of the two ends' steps, nobody sleeps for ever
// and every byte arrives.
func TestEveryOrder(t *testing.T) {
	out, err := run(t, *pattern, nil)
	if err != nil || !strings.Contains(out, "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}
