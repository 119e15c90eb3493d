package shm

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

// roles are the child processes of this package's tests; their files add them.
var roles = map[string]testproc.Role{}

func TestMain(m *testing.M) { testproc.Main(m, roles) }
