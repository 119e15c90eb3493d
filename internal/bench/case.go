package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Case is what one run measures. Its meaning is the suite's, but for Callers, Pin
// and Procs.
type Case struct {
	// Stack is the name of what is measured.
	Stack string
	// Size is the payload of one operation in bytes.
	Size int
	// Callers is how many goroutines call Do at a time. Zero is one.
	Callers int
	// Pin says on which CPUs the two processes run.
	Pin Pin
	// Procs is GOMAXPROCS of both processes. Zero leaves it to Go.
	Procs int
	// Set are further settings that the suite knows.
	Set map[string]string

	// Addr is the path of a unix socket at which the two processes may meet. It
	// is set by the harness and differs between runs.
	Addr string
}

// Int is a setting as a number, or 0 if it isn't set. A setting that is no number is a
// mistake of whoever started the program, and panics.
func (c Case) Int(name string) int {
	if c.Set[name] == "" {
		return 0
	}
	n, err := strconv.Atoi(c.Set[name])
	if err != nil {
		panic(fmt.Sprintf("bench: setting %s=%q is no number", name, c.Set[name]))
	}
	return n
}

// With is c with one more setting.
func (c Case) With(name, value string) Case {
	set := maps.Clone(c.Set)
	if set == nil {
		set = map[string]string{}
	}
	set[name] = value
	c.Set = set
	return c
}

// Label names the case in a table: the stack and its settings.
func (c Case) Label() string {
	parts := []string{c.Stack}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		parts = append(parts, name+"="+c.Set[name])
	}
	return strings.Join(parts, " ")
}

// Pin says on which CPUs the two processes of a run may run.
type Pin string

// The ways to pin.
const (
	Free  Pin = ""      // wherever the kernel puts them
	One   Pin = "one"   // both on the first CPU
	Split Pin = "split" // the server on the first CPU, the client on the second
)

// Times bound a run.
type Times struct {
	Warm    time.Duration // calls whose figures are dropped
	Measure time.Duration
}

// SizeText writes a number of bytes the short way: 64 B, 4 KiB, 1 MiB.
func SizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
