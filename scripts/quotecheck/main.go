// Quotecheck compares the code that a Markdown document quotes with the files it
// comes from, so that what a reader copies is what the tests have run.
//
// A quotation is a fenced block after a comment that names a file, its path
// relative to the document:
//
//	<!-- from examples/server/main.go -->
//	```go
//	package main
//	…
//	```
//
// The block has to hold the whole file. With -w the documents are rewritten
// instead.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	write := flag.Bool("w", false, "rewrite the documents with what the files hold")
	flag.Parse()
	if err := run(os.Stdout, *write, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "quotecheck:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, write bool, documents []string) error {
	var errs []error
	for _, doc := range documents {
		if err := handle(out, write, doc); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", doc, err))
		}
	}
	return errors.Join(errs...)
}

func handle(out io.Writer, write bool, doc string) error {
	old, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	updated, quotes, err := refresh(old, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(filepath.Dir(doc), filepath.FromSlash(name)))
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(old, updated) {
		if !write {
			return fmt.Errorf("a quoted file has changed: run `make readme`\n%s", firstDifference(old, updated))
		}
		if err := os.WriteFile(doc, updated, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s quotes %d files\n", doc, quotes)
	return nil
}

const (
	markStart = "<!-- from "
	markEnd   = " -->"
	fence     = "```"
)

// refresh returns the document with every quotation replaced by what its file
// holds, and their number.
func refresh(doc []byte, read func(name string) ([]byte, error)) (updated []byte, quotes int, err error) {
	lines := strings.SplitAfter(string(doc), "\n")
	var b strings.Builder
	for i := 0; i < len(lines); i++ {
		b.WriteString(lines[i])
		name, ok := quoted(lines[i])
		if !ok {
			continue
		}
		end, err := blockEnd(lines, i+1)
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", i+1, err)
		}
		content, err := read(name)
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", i+1, err)
		}
		b.WriteString(lines[i+1])
		b.Write(content)
		b.WriteString(lines[end])
		i = end
		quotes++
	}
	return []byte(b.String()), quotes, nil
}

// quoted returns the file that a line announces.
func quoted(line string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), markStart)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, markEnd)
}

// blockEnd returns the line that closes the fenced block opened by line start.
func blockEnd(lines []string, start int) (int, error) {
	if start >= len(lines) || !strings.HasPrefix(lines[start], fence) {
		return 0, errors.New("no fenced block follows")
	}
	for i := start + 1; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == fence {
			return i, nil
		}
	}
	return 0, errors.New("the fenced block has no end")
}

func firstDifference(old, updated []byte) string {
	a, b := strings.Split(string(old), "\n"), strings.Split(string(updated), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\n  quotes %q\n  file   %q", i+1, a[i], b[i])
		}
	}
	return "one is longer than the other"
}
