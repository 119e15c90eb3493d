package host_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/carp-rpc/carp-go/host"
)

// Announcing 1,000 services and requiring each of them, beside as many calls.
func BenchmarkThousandServices(b *testing.B) {
	const n = 1000
	pair := func(b *testing.B) (server, client *host.Host) {
		server, client = newHost(b, "server"), newHost(b, "client")
		connect(b, client, listen(b, server, "unix"))
		return server, client
	}
	f := func(int) int { return 1 }
	b.Run("announce and require", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			server, client := pair(b)
			b.StartTimer()
			for i := range n {
				export(b, server, fmt.Sprint("f", i), f)
			}
			for i := range n {
				require[func(context.Context, int) (int, error)](b, client, fmt.Sprint("f", i))
			}
			b.StopTimer()
			closeHosts(server, client)
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/service")
	})
	b.Run("call", func(b *testing.B) {
		server, client := pair(b)
		defer closeHosts(server, client)
		export(b, server, "f", f)
		call := require[func(context.Context, int) (int, error)](b, client, "f")
		ctx := context.Background()
		for b.Loop() {
			for range n {
				if _, err := call(ctx, 1); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/call")
	})
}

// A change told to 200 hosts, from the export until each of them could call it.
func BenchmarkTwoHundredLinks(b *testing.B) {
	const n = 200
	center := newHost(b, "center")
	target := listen(b, center, "unix")
	hosts := make([]*host.Host, n)
	for i := range hosts {
		hosts[i] = newHost(b, fmt.Sprint("h", i))
		connect(b, hosts[i], target)
	}
	defer closeHosts(hosts...)
	defer center.Close()
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("f", i)
		export(b, center, name, func() {})
		for _, h := range hosts {
			require[func(context.Context) error](b, h, name)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/host")
}
