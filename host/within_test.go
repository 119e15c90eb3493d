package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// A function may end what it was called over, also where the goroutine that reads runs it.
func TestEndFromWithin(t *testing.T) {
	ends := map[string]func(server, client *host.Host){
		"its host":       func(server, _ *host.Host) { server.Close() },
		"its links":      func(server, _ *host.Host) { closeLinks(server) },
		"its caller":     func(_, client *host.Host) { client.Close() },
		"in good order":  func(server, _ *host.Host) { shutDown(t, server) },
		"caller's links": func(_, client *host.Host) { closeLinks(client) },
	}
	for _, transport := range transports() {
		for what, end := range ends {
			t.Run(transport+"/"+what, func(t *testing.T) {
				leak.Check(t)
				server, client := newHost(t, "server"), newHost(t, "client")
				connect(t, client, listen(t, server, transport))
				var now atomic.Bool
				ended := make(chan struct{})
				export(t, server, "f", func() {
					if now.Load() {
						end(server, client)
						close(ended)
					}
				})
				f := require[func() error](t, client, "f")
				for range 100 { // it is quick
					if err := f(); err != nil {
						t.Fatal(err)
					}
				}
				now.Store(true)
				// The answer may overtake the end.
				if err := f(); err != nil && status.Code(err) != codes.Unavailable {
					t.Errorf("the call ended with %v, want Unavailable or nothing", err)
				}
				select {
				case <-ended:
				case <-time.After(patience):
					t.Error("the function hangs")
				}
				closeHosts(server, client)
			})
		}
	}
}

func closeLinks(h *host.Host) {
	for _, l := range h.Links() {
		l.Close()
	}
}

// shutDown shuts down a host that can't become idle.
func shutDown(t *testing.T, h *host.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown from within a call: %v, want the context's error", err)
	}
}
