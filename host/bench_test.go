package host_test

import (
	"context"
	"testing"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// A required function that adds two numbers, in another process and in this one.
func BenchmarkCall(b *testing.B) {
	bench := func(b *testing.B, h *host.Host) {
		add := require[func(context.Context, int, int) (int, error)](b, h, "Calculator.Add")
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := add(ctx, 1, 1000); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, transport := range transports() {
		b.Run(transport, func(b *testing.B) {
			h := newHost(b, "parent")
			child := testproc.Start(b, "serve", newTarget(b, transport))
			connect(b, h, child.ReadLine())
			bench(b, h)
		})
		b.Run(transport+"/back", func(b *testing.B) {
			h := newHost(b, "parent")
			child := testproc.Start(b, "connect", listen(b, h, transport))
			child.ReadLine()
			bench(b, h)
		})
	}
	b.Run("local", func(b *testing.B) {
		h := newHost(b, "h")
		export(b, h, "Calculator", Calculator{})
		bench(b, h)
	})
}
