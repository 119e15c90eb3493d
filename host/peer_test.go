package host_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// rawPeer is a peer that says what a test wants.
type rawPeer struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[carpv1.Frame, carpv1.Frame]
}

func newRawPeer(t *testing.T, h *host.Host, hello *carpv1.Hello) rawPeer {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	t.Cleanup(cancel)
	stream, err := carpv1.NewPeerClient(newForeignClient(t, h).conn).Link(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := rawPeer{t, stream}
	p.send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: hello}})
	return p
}

func (p rawPeer) send(f *carpv1.Frame) { _ = p.stream.Send(f) } // the end shows when receiving

func (p rawPeer) announce(e *carpv1.Exports) {
	p.send(&carpv1.Frame{Kind: &carpv1.Frame_Exports{Exports: e}})
}

// ends reads until the host ends the link, and returns why.
func (p rawPeer) ends() error {
	for {
		if _, err := p.stream.Recv(); err != nil {
			return err
		}
	}
}

// upTo reads until a frame fits.
func (p rawPeer) upTo(fits func(*carpv1.Frame) bool) *carpv1.Frame {
	p.t.Helper()
	for {
		f, err := p.stream.Recv()
		if err != nil {
			p.t.Fatal(err)
		}
		if fits(f) {
			return f
		}
	}
}

func helloOf(id, nonce string) *carpv1.Hello {
	return &carpv1.Hello{MinVersion: 1, MaxVersion: 1, HostId: id, Nonce: []byte(nonce), Label: id}
}

func full(generation uint64, names ...string) *carpv1.Exports {
	e := &carpv1.Exports{Generation: generation, Full: true}
	for _, name := range names {
		e.Added = append(e.Added, &carpv1.Export{Name: name})
	}
	return e
}

// Nobody is taken for a host that is linked, unless they know its nonce.
func TestImpostor(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	defer h.Close()
	newRawPeer(t, h, helloOf("id", "nonce")).announce(full(1, "f"))
	if err := await(t, h, "f"); err != nil {
		t.Fatal(err)
	}
	for _, nonce := range []string{"", "other"} {
		err := newRawPeer(t, h, helloOf("id", nonce)).ends()
		if status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "the nonces differ") {
			t.Errorf("nonce %q: %v, want AlreadyExists", nonce, err)
		}
	}
	newRawPeer(t, h, helloOf("id", "nonce")).announce(full(1, "f", "g"))
	if got := h.Providers("f"); len(got) != 1 {
		t.Errorf("%d providers", len(got))
	}
}

// await waits until a service is provided.
func await(t *testing.T, h *host.Host, service string) error {
	t.Helper()
	_, err := h.RequireConn(testContext(t), service)
	return err
}

// Peers of other versions: one that is too old is told so, one that is newer and
// speaks this version is understood, whatever else it says.
func TestVersions(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	defer h.Close()
	export(t, h, "f", func() int { return 7 })
	err := newRawPeer(t, h, &carpv1.Hello{HostId: "old"}).ends()
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "the peer speaks 0 to 0, this end 1 to 1") {
		t.Errorf("version 0: %v", err)
	}
	err = newRawPeer(t, h, &carpv1.Hello{MinVersion: 2, MaxVersion: 3}).ends()
	checkError(t, err, "the peer speaks 2 to 3, this end 1 to 1")
	needs := helloOf("needs", "n")
	needs.RequiredFeatures = []string{"streams", "time travel"}
	checkError(t, newRawPeer(t, h, needs).ends(), `"time travel"`)

	newer := helloOf("newer", "n")
	newer.MaxVersion, newer.Features = 9, []string{"time travel"}
	newer.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127
	p := newRawPeer(t, h, newer)
	unknown := &carpv1.Frame{}
	unknown.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01})
	p.send(unknown)
	p.announce(full(1, "theirs"))
	p.send(&carpv1.Frame{Id: 1, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: "/f/call", Codec: "json"}}})
	f := p.upTo(func(f *carpv1.Frame) bool { return f.GetReply() != nil })
	if string(f.GetReply().GetPayload()) != "7" {
		t.Errorf("%v, want 7", f)
	}
	// An older peer of this version has no streams: those it is not sent.
	if _, err := host.Echoed(t, h, "/theirs/x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("a stream to a peer without: %v, want Unimplemented", err)
	}
}

// A peer that announces without end loses its link; others don't notice.
func TestAnnouncementFlood(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	defer closeHosts(server, client)
	export(t, server, "f", func(n int) int { return n })
	f := require[func(context.Context, int) (int, error)](t, client, "f")
	flood := func(name string, next func(i int) *carpv1.Exports, want string) {
		t.Run(name, func(t *testing.T) {
			p := newRawPeer(t, server, helloOf(name, "n"))
			p.announce(full(1))
			ended := make(chan error, 1)
			go func() { ended <- p.ends() }()
			for i := 2; ; i++ {
				if i%50 == 0 {
					if n, err := f(testContext(t), i); err != nil || n != i {
						t.Errorf("a call of another peer: %d, %v", n, err)
					}
				}
				select {
				case err := <-ended:
					checkError(t, err, want)
					return
				default:
					p.announce(next(i))
				}
				if i > 100_000 {
					t.Fatal("the link still stands")
				}
			}
		})
	}
	many := func(i, n, size int) *carpv1.Exports {
		e := &carpv1.Exports{Generation: uint64(i), Base: uint64(i) - 1}
		for k := range n {
			e.Added = append(e.Added, &carpv1.Export{Name: fmt.Sprint("s", i, ".", k), Version: strings.Repeat("v", size)})
		}
		return e
	}
	flood("services", func(i int) *carpv1.Exports { return many(i, 1000, 0) }, "announces too much")
	flood("bytes", func(i int) *carpv1.Exports { return many(i, 1, 100_000) }, "announces too much")
	flood("long names", func(i int) *carpv1.Exports {
		return &carpv1.Exports{Generation: uint64(i), Base: uint64(i) - 1, Added: []*carpv1.Export{{Name: strings.Repeat("n", 256)}}}
	}, "announces too much")
	flood("gaps", func(i int) *carpv1.Exports {
		return &carpv1.Exports{Generation: uint64(i) + 5, Base: uint64(i) + 4}
	}, "a difference to its state")
	flood("standing still", func(int) *carpv1.Exports { return &carpv1.Exports{Generation: 1, Base: 1} }, "its state 1 after 1")
	if got := len(server.Links()); got != 1 {
		t.Errorf("%d links are left", got)
	}
}

// A peer that announces and takes back in a loop is heard as fast as is allowed, over
// either wire, and others' calls go on.
func TestAnnouncementLoop(t *testing.T) {
	const burst, perSecond = 32 << 10, 16 << 10
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			var heard atomic.Int64
			server := newHost(t, "server", host.WithAnnouncingRate(burst, perSecond),
				host.WithHooks(host.Hooks{Exports: func(l *host.Link, _ host.ExportsChange) {
					if l.PeerLabel() == "loop" {
						heard.Add(1)
					}
				}}))
			client := newHost(t, "client")
			defer closeHosts(server, client)
			target := listen(t, server, transport)
			connect(t, client, target)
			export(t, server, "f", func(n int) int { return n })
			f := require[func(context.Context, int) (int, error)](t, client, "f")
			conn, err := carpgrpc.NewClient(target, carpgrpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			stream, err := carpv1.NewPeerClient(conn).Link(ctx)
			if err != nil {
				t.Fatal(err)
			}
			p := rawPeer{t, stream}
			p.send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: helloOf("loop", "n")}})
			begun := time.Now()
			// More than the burst, and less than the windows of the wires.
			const frames = 400
			for i := uint64(1); i <= frames; i++ {
				e := &carpv1.Exports{Generation: i, Base: i - 1, Full: i == 1}
				if i%2 == 0 {
					e.Added = []*carpv1.Export{{Name: "s"}}
				} else {
					e.Removed = []string{"s"}
				}
				p.announce(e)
				if i%40 == 0 {
					if n, err := f(testContext(t), int(i)); err != nil || n != int(i) {
						t.Errorf("a call of another peer: %d, %v", n, err)
					}
				}
			}
			if err := await(t, server, "s"); err != nil {
				t.Error(err)
			}
			// One may have been let through when the burst was almost used up.
			got, most := heard.Load(), 1+(burst+time.Since(begun).Seconds()*perSecond)/512
			if got == 0 || float64(got) > most {
				t.Errorf("%d announcements were heard, at most %.0f are allowed", got, most)
			}
		})
	}
}

// A peer that doesn't read is not told every step: what it reads in the end is
// the last state, in few frames.
func TestUnreadAnnouncements(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	defer h.Close()
	p := newRawPeer(t, h, helloOf("slow", "n"))
	p.announce(full(1, "up"))
	if err := await(t, h, "up"); err != nil {
		t.Fatal(err)
	}
	const rounds = 3000
	version := strings.Repeat("v", 10_000)
	for i := range rounds {
		export(t, h, "changing", func() {}, host.WithVersion(fmt.Sprint(version, i)))
		if i < rounds-1 {
			if err := h.Unexport("changing"); err != nil {
				t.Fatal(err)
			}
		}
	}
	frames := 0
	p.upTo(func(f *carpv1.Frame) bool {
		e := f.GetExports()
		if e == nil {
			return false
		}
		frames++
		last := len(e.GetAdded()) == 1 && e.GetAdded()[0].GetVersion() == fmt.Sprint(version, rounds-1)
		return last && e.GetAdded()[0].GetName() == "changing"
	})
	if frames > rounds {
		t.Errorf("%d changes were told in %d frames", 2*rounds, frames)
	}
}
