package shm

import (
	"os"
	"testing"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

// roles are the child processes of this package's tests.
var roles = map[string]testproc.Role{}

// role adds one. Files do so beside it: var _ = role("name", function).
func role(name string, f testproc.Role) struct{} {
	roles[name] = f
	return struct{}{}
}

func TestMain(m *testing.M) { testproc.Main(m, roles) }

// unable leaves out a test that this machine can't run. Where CI=true it fails.
func unable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, where nothing may be left out: %s", why)
	}
	t.Skip(why)
}
