package shm

import (
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

// roles are the child processes of this package's tests.
var roles = map[string]testproc.Role{}

// role adds one. Files do so beside it: var _ = role("name", function).
func role(name string, f testproc.Role) struct{} {
	roles[name] = f
	return struct{}{}
}

// patience bounds waits for what must happen, far beyond what a busy machine takes.
const patience = 60 * time.Second

func TestMain(m *testing.M) { testproc.Main(m, roles) }
