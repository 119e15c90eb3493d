package host_test

import (
	"context"
	"iter"
	"runtime"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// A function that ends its goroutine leaves nobody waiting who calls it in the same host,
// whether its context can end or not.
func TestLocalGoexit(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h", host.WithHandlerGoroutines())
	defer h.Close()
	export(t, h, "exit", func() { runtime.Goexit() })
	export(t, h, "exits", func() iter.Seq[int] {
		runtime.Goexit()
		return nil
	})
	exit := require[func(context.Context) error](t, h, "exit")
	exits := require[func(context.Context) iter.Seq2[int, error]](t, h, "exits")
	for _, ctx := range []context.Context{context.Background(), testContext(t)} {
		ended := make(chan error, 2)
		go func() { ended <- exit(ctx) }()
		go func() {
			for _, err := range exits(ctx) {
				ended <- err
			}
		}()
		for range 2 {
			if err := receive(t, ended, "the call"); status.Code(err) != codes.Internal {
				t.Errorf("the call has ended with %v", err)
			}
		}
	}
}
