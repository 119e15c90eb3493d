package host_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Many objects over several links go in all the ways there are: released, as garbage, with
// the link. Each is closed once, and none is left.
func TestManyObjectsGo(t *testing.T) {
	leak.Check(t)
	server := newHost(t, "server")
	closed := make(chan *Counter, 2000)
	if _, err := server.ExportClass("Counter", func(n int64) *Counter {
		c := &Counter{closed: closed}
		c.n.Store(n)
		return c
	}); err != nil {
		t.Fatal(err)
	}
	clients := make([]*host.Host, 0, 3)
	defer func() { closeHosts(append(clients, server)...) }()
	ctx := testContext(t)
	const each = 90 // of each client, a third of them in each way
	seen := make(map[int64]int)
	var next int64
	for _, transport := range transports() {
		client := newHost(t, "client over "+transport)
		clients = append(clients, client)
		connect(t, client, listen(t, server, transport))
		create := require[newCounter](t, client, "Counter")
		var held []*remoteCounter // until the link ends
		for i := range each {
			next++
			c, err := create(ctx, next)
			if err != nil {
				t.Fatal(err)
			}
			switch i % 3 {
			case 0:
				release(ctx, t, &c.Object)
			case 1:
				held = append(held, c)
			}
		}
		count(ctx, t, closed, seen, 2*each/3)
		if got := objectsHeld(server); got != each/3 {
			t.Errorf("%d objects are held, want %d", got, each/3)
		}
		if err := client.Links()[0].Close(); err != nil {
			t.Error(err)
		}
		count(ctx, t, closed, seen, each/3)
		runtime.KeepAlive(held)
	}
	if len(seen) != int(next) {
		t.Errorf("%d objects of %d were closed", len(seen), next)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("object %d was closed %d times", n, times)
		}
	}
	if got := objectsHeld(server); got != 0 {
		t.Errorf("%d objects are still held", got)
	}
	select {
	case c := <-closed:
		t.Errorf("object %d was closed again", c.n.Load())
	default:
	}
}

// objectsHeld is what Inspect says.
func objectsHeld(h *host.Host) (n int) {
	for _, l := range h.Inspect().Links {
		n += l.Objects
	}
	return n
}

// count waits until so many objects were closed, collecting garbage meanwhile.
func count(ctx context.Context, t *testing.T, closed <-chan *Counter, seen map[int64]int, want int) {
	t.Helper()
	for n := 0; n < want; {
		runtime.GC()
		select {
		case c := <-closed:
			seen[c.n.Load()]++
			n++
		case <-ctx.Done():
			t.Fatalf("waited for %d objects to be closed, %d were", want, n)
		default:
			runtime.Gosched()
		}
	}
}

// late is a class that is exported after what uses it.
type late struct{ N int }

func (l *late) Get() int { return l.N }
