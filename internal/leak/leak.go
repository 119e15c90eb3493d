package leak

import (
	"testing"
	"time"
)

// patience is how long what a test opened may take to go away after its end.
const patience = 60 * time.Second

// Check records what the process holds, and at the end of the test waits until
// nothing is left beyond that. What is still there after a minute is reported as
// an error of the test.
//
// The directories given have to be left with the entries they have now. Create
// them before calling Check: what [testing.T.TempDir] makes after it is removed
// before the check looks.
//
// Call Check after [testing.T.Parallel]: while a test that is to run in parallel
// waits for its turn, all others overlap with it.
func Check(tb testing.TB, dirs ...string) {
	tb.Helper()
	check(tb, &process, patience, dirs)
}

func check(tb testing.TB, w *watcher, patience time.Duration, dirs []string) {
	tb.Helper()
	c, err := w.begin(tb.Name(), dirs)
	if err != nil {
		tb.Fatalf("leak: can't tell what the process holds: %v", err)
	}
	tb.Cleanup(func() {
		tb.Helper()
		left, names, err := w.end(c, patience)
		if err != nil {
			tb.Errorf("leak: can't tell what the process holds: %v", err)
		}
		if len(left) > 0 {
			tb.Errorf("%s", report(left, names, patience))
		}
	})
}
