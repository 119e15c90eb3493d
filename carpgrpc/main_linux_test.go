package carpgrpc_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/testproc"
)

func TestMain(m *testing.M) {
	testproc.Main(m, map[string]testproc.Role{"serve": serveRole, "call": callRole, "panic": panicRole, "many": manyRole})
}
