package leak

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kind is a kind of thing that can be left behind.
type kind string

const (
	kindGoroutine  kind = "goroutine"
	kindDescriptor kind = "file descriptor"
	kindMapping    kind = "mapping"
	kindSegment    kind = "System V segment"
	kindFile       kind = "file"
)

// item is one thing that a process holds.
type item struct {
	kind kind
	id   string // tells it apart from all others of its kind, also over time
	text string // what a reader of the report wants to know of it
}

// snapshot is what there is at one moment, in the order it is to be reported.
type snapshot []item

// without returns the items of s that are not in before.
func (s snapshot) without(before snapshot) snapshot {
	type key struct {
		kind kind
		id   string
	}
	known := make(map[key]bool, len(before))
	for _, it := range before {
		known[key{it.kind, it.id}] = true
	}
	var left snapshot
	for _, it := range s {
		if !known[key{it.kind, it.id}] {
			left = append(left, it)
		}
	}
	return left
}

// takeProcess lists what the process holds.
func takeProcess() (snapshot, error) {
	// Platform first: it may have to make the runtime open what it keeps.
	s, err := takePlatform()
	if err != nil {
		return nil, err
	}
	return append(takeGoroutines(), s...), nil
}

// takeFiles lists the entries of directories. One that doesn't exist has none.
func takeFiles(dirs []string) (snapshot, error) {
	var s snapshot
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			s = append(s, item{kindFile, path, fmt.Sprintf("%s (%v)", path, e.Type())})
		}
	}
	return s, nil
}

// maxReported bounds the items of a report: the first hundred stacks tell as
// much as ten thousand do.
const maxReported = 100

// report says what is left, and of which tests.
func report(left snapshot, names []string, after time.Duration) string {
	var b strings.Builder
	who := names[0]
	if len(names) > 1 {
		who = "one of " + strings.Join(names, ", ")
	}
	fmt.Fprintf(&b, "leak: %v after its end, %s has left %s:", after, who, count(left))
	for i, it := range left {
		if i == maxReported {
			fmt.Fprintf(&b, "\n… and %d more", len(left)-i)
			break
		}
		fmt.Fprintf(&b, "\n%s %s", it.kind, it.text)
	}
	return b.String()
}

// count says how many there are of each kind.
func count(s snapshot) string {
	var kinds []kind
	n := map[kind]int{}
	for _, it := range s {
		if n[it.kind] == 0 {
			kinds = append(kinds, it.kind)
		}
		n[it.kind]++
	}
	parts := make([]string, len(kinds))
	for i, k := range kinds {
		parts[i] = fmt.Sprintf("%d %s", n[k], k)
		if n[k] > 1 {
			parts[i] += "s"
		}
	}
	return strings.Join(parts, ", ")
}
