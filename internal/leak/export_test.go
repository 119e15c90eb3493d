package leak

import (
	"testing"
	"time"
)

// Watcher is a process's record of its checks. The tests use their own, so that
// checks that fail on purpose don't join those that must not.
type Watcher struct{ w watcher }

// Check is the package's Check with a patience of its own.
func (w *Watcher) Check(tb testing.TB, patience time.Duration, dirs ...string) {
	tb.Helper()
	check(tb, &w.w, patience, dirs)
}
