package testproc

import (
	"os"
	"testing"
)

// Unable leaves out a test that this machine can't run, and says why. Where CI=true, which
// promises a machine that can run all of them, it fails the test.
func Unable(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, where nothing may be left out: %s", why)
	}
	t.Skip(why)
}
