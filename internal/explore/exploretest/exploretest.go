// Package exploretest has what tests share that compile code in a way of its own to explore
// it, and again with one of its rules taken out.
package exploretest

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// pattern selects scenarios.
var pattern = flag.String("explore", ".", "regular expression of the scenarios that TestEveryOrder runs")

// scenarios is the folder of the package whose tests are the scenarios. They are compiled
// with the tag explore.
const scenarios = "interleave"

// Code is what is explored.
type Code struct {
	// Files are the files under control, by folder.
	Files map[string][]string

	// Imports are the packages that files are compiled with in place of others, beyond
	// those of [overlay.StandIns], by the name of the file.
	Imports map[string]map[string]string

	// Edits replace what can't be explored, by the name of the file.
	Edits map[string][]overlay.Edit

	// Added are files that are compiled too: where they go, and where their text is.
	Added map[string]string
}

// overlay is the code with further edits.
func (c *Code) overlay(t *testing.T, edits map[string][]overlay.Edit) *overlay.Overlay {
	t.Helper()
	var o overlay.Overlay
	for dir, files := range c.Files {
		for _, name := range files {
			imports := overlay.StandIns()
			maps.Copy(imports, c.Imports[name])
			if err := o.Explore(filepath.Join(dir, name), imports, slices.Concat(c.Edits[name], edits[name])...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for to, from := range c.Added {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Add(to, string(text)); err != nil {
			t.Fatal(err)
		}
	}
	return &o
}

// run compiles the code with further edits and runs the scenarios that match.
func (c *Code) run(t *testing.T, scenario string, edits map[string][]overlay.Edit) (output string, err error) {
	t.Helper()
	o := c.overlay(t, edits)
	depend(t, scenarios)
	file, err := o.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-vet=off", "-tags=explore", "-overlay="+file, "-run="+scenario, "-v", "-timeout=1h", "./"+scenarios)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// depend makes the results of a test depend on the files of a folder that another process
// compiles: its cached result is good only as long as what it opened doesn't change.
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

// EveryOrder runs all scenarios, or those that the flag -explore selects.
func (c *Code) EveryOrder(t *testing.T) {
	t.Helper()
	out, err := c.run(t, *pattern, nil)
	if err != nil || !strings.Contains(out, "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}

// Mutation takes one rule out of the code. One whose old text is gone has to be brought up
// to date with the code: it says what the rule is.
type Mutation struct {
	Name     string // what happens without the rule
	File     string
	Edits    []overlay.Edit
	Scenario string // regular expression of the scenarios that find out
}

// EachRuleIsNeeded fails unless a scenario finds out about each of the mutations, in one of
// the given words: a proof that can't fail proves nothing.
func (c *Code) EachRuleIsNeeded(t *testing.T, mutations []Mutation, words ...string) {
	t.Helper()
	for _, m := range mutations {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			out, err := c.run(t, m.Scenario, map[string][]overlay.Edit{m.File: m.Edits})
			if err == nil {
				t.Fatalf("nothing found:\n%s", out)
			}
			if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(out, w) }) {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
		})
	}
}
