package host_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// A reference that is taken as any value says where its object lives: it can be passed
// back there, and a third host doesn't take it for one of those who pass it on.
func TestReferenceAsAny(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	third := newHost(t, "third")
	defer closeHosts(server, client, third)
	exportCounter(t, server)
	export(t, server, "total", func(c *Counter) int64 { return c.n.Load() })
	connect(t, client, listen(t, third, "unix"))
	export(t, third, "hold", func(*host.Object) {})
	ctx := testContext(t)
	require[newCounter](t, client, "Counter")
	require[func(*host.Object) error](t, client, "hold")
	for _, codec := range anyCodec {
		ref, err := host.Call[any](ctx, client, "Counter", 7, host.WithCodec(codec))
		if r, ok := ref.(value.Ref); err != nil || !ok || r.Class != "Counter" || r.Host != server.ID() {
			t.Fatalf("%s: %#v, %v, want a reference that names the host %s", codec, ref, err, server.ID())
		}
		if n, err := host.Call[int](ctx, client, "total", ref, host.WithCodec(codec)); n != 7 || err != nil {
			t.Errorf("%s, passed back: %v, %v", codec, n, err)
		}
		_, err = host.Call[any](ctx, client, "hold", ref, host.WithCodec(codec))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s, passed on: %v, want InvalidArgument", codec, err)
		}
		checkError(t, err, "lives in a third host")
	}
}
