package rpctest_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/interop/rpctest"
)

// The suite must agree with itself: what the reference shows depends on
// nothing but the rules.
func TestReferenceAgainstItself(t *testing.T) {
	rpctest.Run(t, rpctest.Reference(), rpctest.Options{})
}
