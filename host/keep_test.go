package host_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Kept is an argument with all that could be in memory of a later call's.
type Kept struct {
	Text  string
	Bytes []byte
	Names []string
	Pairs map[string][]byte
	Next  *Kept
}

func newKept(n int) Kept {
	text := strings.Repeat(fmt.Sprint(n, ";"), 20)
	k := Kept{Text: text, Bytes: []byte(text), Names: []string{text, "x"}, Pairs: map[string][]byte{text: []byte(text)}}
	next := k
	k.Next = &next
	return k
}

// KeptParams are the arguments of a function as one struct.
type KeptParams struct {
	host.Params
	N    int
	Kept Kept
}

// keeper keeps what it is called with.
type keeper struct {
	mu   sync.Mutex
	kept map[int][]any
	ctxs map[int]context.Context
}

func (k *keeper) keep(ctx context.Context, n int, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[n], k.ctxs[n] = args, ctx
	switch n % 4 {
	case 1:
		return errors.New("kept it")
	case 2:
		panic("kept it")
	}
	return nil
}

func (k *keeper) Many(ctx context.Context, n int, one Kept, bytes []byte, tail ...[]byte) ([]byte, error) {
	return bytes, k.keep(ctx, n, one, bytes, tail)
}

func (k *keeper) Pointer(ctx context.Context, n int, one *Kept, names []string, pairs map[string]string) (*Kept, error) {
	return one, k.keep(ctx, n, one, names, pairs)
}

func (k *keeper) Struct(ctx context.Context, p KeptParams) error {
	return k.keep(ctx, p.N, p.Kept)
}

// What a function was called with is its own, after it has returned, too: whatever calls
// come after it.
func TestArgumentsAreKept(t *testing.T) {
	for _, transport := range append(transports(), "") {
		for _, codec := range []string{"msgpack", "json", "carp", "proto"} {
			t.Run(transport+"/"+codec, func(t *testing.T) { testKept(t, transport, codec) })
		}
	}
}

func testKept(t *testing.T, transport, codec string) {
	leak.Check(t)
	exporter, caller := newHost(t, "exporter"), newHost(t, "caller")
	defer closeHosts(exporter, caller)
	if transport == "" {
		caller = exporter
	} else {
		connect(t, caller, listen(t, exporter, transport))
	}
	k := &keeper{kept: map[int][]any{}, ctxs: map[int]context.Context{}}
	export(t, exporter, "Keeper", k)
	f := require[struct {
		Many    func(context.Context, int, Kept, []byte, ...[]byte) ([]byte, error)
		Pointer func(context.Context, int, *Kept, []string, map[string]string) (*Kept, error)
		Struct  func(context.Context, KeptParams) error
	}](t, caller, "Keeper", host.WithCodec(codec))
	const callers, calls = 4, 12
	var want [callers * calls][]any
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := c * calls; n < (c+1)*calls; n++ {
				one := newKept(n)
				ctx := metadata.AppendToOutgoingContext(testContext(t), "n", one.Text)
				var err error
				switch n / 4 % 3 {
				case 0:
					want[n] = []any{one, one.Bytes, [][]byte{one.Bytes, {1, 2}}}
					_, err = f.Many(ctx, n, one, one.Bytes, one.Bytes, []byte{1, 2})
				case 1:
					pairs := map[string]string{one.Text: one.Text}
					want[n] = []any{&one, one.Names, pairs}
					_, err = f.Pointer(ctx, n, &one, one.Names, pairs)
				case 2:
					want[n] = []any{one}
					err = f.Struct(ctx, KeptParams{N: n, Kept: one})
				}
				if fails := n%4 == 1 || n%4 == 2; fails != (err != nil) {
					t.Errorf("call %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for n, args := range want {
		if diff := cmp.Diff(args, k.kept[n]); diff != "" {
			t.Fatalf("call %d (-sent +kept):\n%s", n, diff)
		}
		ctx := k.ctxs[n]
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("n")) != 1 || md.Get("n")[0] != newKept(n).Text {
			t.Errorf("the context of call %d has the metadata %v", n, md)
		}
		receive(t, ctx.Done(), "the end of the context of a call")
	}
}

// The first value of a stream may come with the arguments, in typed protobuf. It is still
// there when the function gets to it.
func TestFirstItemIsKept(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) { testFirstItem(t, transport) })
	}
}

func testFirstItem(t *testing.T, transport string) {
	leak.Check(t)
	h := newHost(t, "h")
	defer h.Close()
	begun, goOn := make(chan struct{}), make(chan struct{})
	export(t, h, "join", func(sep string, parts iter.Seq[string]) string {
		close(begun)
		<-goOn
		var all []string
		for part := range parts {
			all = append(all, part)
		}
		return strings.Join(all, sep)
	})
	export(t, h, "twice", func(s string) string { return s + s })
	conn, err := carpgrpc.NewClient(listen(t, h, transport), carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	opts := []grpc.CallOption{grpc.ForceCodecV2(bytesCodec("proto")), grpc.CallContentSubtype("proto")}
	ctx := testContext(t)
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/join/call", opts...)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Repeat("first", 500)
	request := appendText(appendText(nil, 1, ","), 2, first)
	if err := s.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	receive(t, begun, "the function")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			other := appendText(nil, 1, strings.Repeat("other", 501))
			for range 200 {
				var reply []byte
				if err := conn.Invoke(ctx, "/twice/call", &other, &reply, opts...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(goOn)
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var reply []byte
	if err := s.RecvMsg(&reply); err != nil {
		t.Fatal(err)
	}
	if want := appendText(nil, 1, first); string(reply) != string(want) {
		t.Errorf("got %.40q, want %.40q", reply, want)
	}
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}
