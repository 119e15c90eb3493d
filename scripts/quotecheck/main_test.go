package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const document = "# Title\n" +
	"<!-- from examples/a.go -->\n" +
	"```go\n" +
	"package a\n" +
	"```\n" +
	"Free text.\n" +
	"```go\n" +
	"anything\n" +
	"```\n"

// lay writes a document and the file it quotes, and returns the document's path.
func lay(t *testing.T, doc, file string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "examples"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "examples", "a.go"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "README.md")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		doc  string
		file string
		want string // in the error; "" for none
	}{
		{"equal", document, "package a\n", ""},
		{"changed", document, "package b\n", `quotes "package a"`},
		{"longer", document, "package a\n\nfunc f() {}\n", "line 5"},
		{"shorter", document, "", "run `make readme`"},
		{"no such file", strings.Replace(document, "a.go", "b.go", 1), "", "b.go"},
		{"no block", "<!-- from examples/a.go -->\ntext\n", "", "line 1: no fenced block"},
		{"at the end", "<!-- from examples/a.go -->", "", "line 1: no fenced block"},
		{"no end", "<!-- from examples/a.go -->\n```\ntext\n", "", "line 1: the fenced block has no end"},
		{"nothing quoted", "# Title\n", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(&bytes.Buffer{}, false, []string{lay(t, tc.doc, tc.file)})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	path := lay(t, document, "package b\n\nfunc f() {}\n")
	var out bytes.Buffer
	if err := run(&out, true, []string{path}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(document, "package a\n", "package b\n\nfunc f() {}\n", 1)
	if string(got) != want {
		t.Errorf("rewritten document:\n%s\nwant:\n%s", got, want)
	}
	if err := run(&out, false, []string{path}); err != nil {
		t.Errorf("the rewritten document fails the check: %v", err)
	}
}
