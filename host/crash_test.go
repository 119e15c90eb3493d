package host_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// crashRole links with the host at its target and exports a function that panics.
func crashRole(c *testproc.Child) error {
	h, err := host.New("child", host.WithPanicCrash(), host.WithHooks(host.Hooks{
		Panic: func(context.Context, host.PanicInfo) { c.Ready("told") },
	}))
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Export("explode", func() { panic("secret") }); err != nil {
		return err
	}
	if _, err := h.Connect(context.Background(), c.Args[0]); err != nil {
		return err
	}
	c.Ready("linked")
	return untilParentGone(c)
}

// A host that is told so ends with a panic of an exported function, after its hook.
// The caller learns that the call was lost, and nothing of the panic.
func TestPanicCrash(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "parent")
	child := testproc.Start(t, "crash", listen(t, h, "unix"))
	child.ReadLine()
	_, err := host.Call[any](testContext(t), h, "explode")
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the call ended with %v, want Unavailable", err)
	}
	if line := child.ReadLine(); line != "told" {
		t.Errorf("the hook said %q", line)
	}
	if err := child.Wait(); err == nil {
		t.Error("the process has ended well")
	}
}
