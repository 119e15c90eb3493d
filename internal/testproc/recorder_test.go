package testproc_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// recorder stands in for a test whose failure is the expected outcome.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failed   bool
	lines    []string
	cleanups []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Logf(format string, args ...any) { r.record(false, format, args...) }

func (r *recorder) Errorf(format string, args ...any) { r.record(true, format, args...) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.record(true, format, args...)
	panic(fatal{})
}

func (r *recorder) record(failed bool, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// fatal ends a function run by recorder.run, as Fatalf ends a test.
type fatal struct{}

func (r *recorder) run(f func()) {
	defer func() {
		if v := recover(); v != nil && v != (fatal{}) {
			panic(v)
		}
	}()
	f()
}

// cleanup runs the cleanups, last one first, as the end of a test does.
func (r *recorder) cleanup() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
}
