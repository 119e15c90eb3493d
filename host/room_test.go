package host_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/carpgrpc"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// What the tests of unread results ask for: calls of results of which few have room.
const (
	unreadSize  = 256 << 10
	unreadRoom  = 4 * (unreadSize + 64)
	unreadCalls = 16
)

// bigHost is a host whose results don't all have room, and a linked host that goes on
// calling it.
func bigHost(t *testing.T) (h *host.Host, goesOn func()) {
	t.Helper()
	h = newHost(t, "h", host.WithMaxUnread(unreadRoom))
	// It is compressed to not much less.
	noise := make([]byte, unreadSize/2)
	rand.Read(noise)
	result := hex.EncodeToString(noise)
	export(t, h, "big", func() string { return result })
	export(t, h, "bigs", func() <-chan string {
		c := make(chan string, 1)
		c <- result
		close(c)
		return c
	})
	other := newHost(t, "other")
	connect(t, other, listen(t, h, "unix"))
	big := require[func(context.Context) (string, error)](t, other, "big")
	return h, func() {
		t.Helper()
		for range 3 {
			if s, err := big(testContext(t)); err != nil || len(s) != unreadSize {
				t.Errorf("another link: %d bytes, %v", len(s), err)
			}
		}
	}
}

// dialUnreading connects with h as a client that takes 64 KiB of each call, and no more
// until it reads.
func dialUnreading(t *testing.T, h *host.Host, transport string) grpc.ClientConnInterface {
	t.Helper()
	target := listen(t, h, transport)
	if transport == "shm" {
		conn, err := carpgrpc.NewClient(target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	target, opts, err := dialer.GRPC(target)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(target, append(opts, grpc.WithStaticStreamWindowSize(64<<10))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A client that doesn't read what it asks for has results of a bounded size wait for it,
// whatever its calls; others have theirs. When it has read there is room again.
func TestUnreadResults(t *testing.T) {
	for _, transport := range []string{"unix", "shm"} {
		if transport == "shm" && len(transports()) < 3 {
			continue // there is none on this system
		}
		t.Run(transport+"/result", func(t *testing.T) { testUnreadResults(t, transport, "/big/call", "identity") })
		t.Run(transport+"/stream", func(t *testing.T) { testUnreadResults(t, transport, "/bigs/call", "identity") })
		t.Run(transport+"/compressed", func(t *testing.T) { testUnreadResults(t, transport, "/big/call", "gzip") })
	}
}

func testUnreadResults(t *testing.T, transport, path, compressor string) {
	leak.Check(t)
	h, goesOn := bigHost(t)
	defer h.Close()
	conn := dialUnreading(t, h, transport)
	opt := grpc.UseCompressor(compressor)
	for range 2 { // the second round finds all room again
		calls := make([]grpc.ClientStream, unreadCalls)
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		for i := range calls {
			calls[i] = openUnread(ctx, t, conn, path, opt)
		}
		for _, c := range calls {
			// The header comes when the result has room, or none.
			if _, err := c.Header(); err != nil && status.Code(err) != codes.ResourceExhausted {
				t.Fatal(err)
			}
		}
		goesOn()
		read, refused := 0, 0
		for _, c := range calls {
			switch err := readAll(c); status.Code(err) {
			case codes.OK:
				read++
			case codes.ResourceExhausted:
				refused++
				checkError(t, err, "WithMaxUnread")
			default:
				t.Fatal(err)
			}
		}
		if read != 4 || refused != unreadCalls-4 {
			t.Errorf("%d results had room, %d had none, want 4 and %d", read, refused, unreadCalls-4)
		}
	}
	// What is given up has its room back.
	ctx, cancel := context.WithCancel(testContext(t))
	for range unreadCalls {
		_, _ = openUnread(ctx, t, conn, path, opt).Header()
	}
	cancel()
	for {
		ctx, cancel := context.WithCancel(testContext(t))
		err := readAll(openUnread(ctx, t, conn, path, opt))
		cancel()
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
	goesOn()
}

func openUnread(ctx context.Context, t *testing.T, conn grpc.ClientConnInterface, path string, opt grpc.CallOption) grpc.ClientStream {
	t.Helper()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path, opt, grpc.ForceCodecV2(bytesCodec("json")), grpc.CallContentSubtype("json"))
	if err != nil {
		t.Fatal(err)
	}
	request := []byte("[]")
	if err := s.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return s
}

func readAll(s grpc.ClientStream) error {
	for {
		var m []byte
		if err := s.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// The same over the frames of a link, whose peer gives no credit.
func TestUnreadFrames(t *testing.T) {
	leak.Check(t)
	h, goesOn := bigHost(t)
	defer h.Close()
	p := newRawPeer(t, h, helloOf("unreading", "n"))
	p.announce(full(1))
	for i := range unreadCalls {
		p.send(&carpv1.Frame{Id: uint64(2*i + 1), Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: "/big/call", Codec: "json"}}})
	}
	counted, refused, unread := 0, 0, 0
	for counted+refused < unreadCalls {
		r := p.upTo(func(f *carpv1.Frame) bool {
			unread -= len(f.GetChunk().GetData())
			return f.GetReply() != nil
		}).GetReply()
		switch {
		case r.GetPayloadSize() > unreadSize:
			counted++
			unread += int(r.GetPayloadSize())
		case codes.Code(r.GetCode()) == codes.ResourceExhausted:
			refused++
		default:
			t.Fatal(r)
		}
	}
	if counted != 4 {
		t.Errorf("%d results had room, want 4", counted)
	}
	goesOn()
	// When all has been sent there is room again.
	p.send(&carpv1.Frame{Kind: &carpv1.Frame_Credit{Credit: &carpv1.Credit{Bytes: 1 << 30}}})
	for i := range unreadCalls {
		p.send(&carpv1.Frame{Id: uint64(2*i + 1), Kind: &carpv1.Frame_Credit{Credit: &carpv1.Credit{Bytes: 2 << 20}}})
	}
	p.upTo(func(f *carpv1.Frame) bool {
		unread -= len(f.GetChunk().GetData())
		return unread == 0
	})
	p.send(&carpv1.Frame{Id: 2*unreadCalls + 1, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: "/big/call", Codec: "json"}}})
	f := p.upTo(func(f *carpv1.Frame) bool { return f.GetReply() != nil })
	if f.GetReply().GetCode() != 0 {
		t.Errorf("after all was read: %v", f.GetReply())
	}
}

// What a function sends to a caller that takes one result, after that, takes no room.
func TestUnreadExtra(t *testing.T) {
	leak.Check(t)
	h, _ := bigHost(t)
	defer h.Close()
	item := strings.Repeat("x", unreadSize)
	export(t, h, "more", func() iter.Seq[string] { return slices.Values([]string{item, item, item}) })
	p := newRawPeer(t, h, helloOf("one", "n"))
	p.announce(full(1))
	call := func(id uint64, method string) codes.Code {
		p.send(&carpv1.Frame{Id: id, Kind: &carpv1.Frame_Call{Call: &carpv1.Call{Method: method, Codec: "json"}}})
		f := p.upTo(func(f *carpv1.Frame) bool { return f.GetReply() != nil })
		return codes.Code(f.GetReply().GetCode())
	}
	for i := range unreadCalls {
		if code := call(uint64(2*i+1), "/more/call"); code != codes.Internal {
			t.Fatalf("a function with many results: %v", code)
		}
	}
	if code := call(2*unreadCalls+1, "/big/call"); code != codes.OK {
		t.Errorf("a function with one: %v", code)
	}
}

// Requests wait, too: for a server that doesn't read them, as long as their contexts
// allow. What gRPC still holds of calls that were given up counts.
func TestUnreadRequests(t *testing.T) {
	leak.Check(t)
	begun := make(chan struct{}, unreadCalls)
	lis, err := net.Listen("unix", strings.TrimPrefix(newTarget(t, "unix"), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.StaticStreamWindowSize(64<<10), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		if m, _ := grpc.MethodFromServerStream(s); m == "/Deaf/Hear" {
			begun <- struct{}{}
		}
		<-s.Context().Done()
		return s.Context().Err()
	}))
	go func() { _ = s.Serve(lis) }()
	defer s.Stop()
	h := newHost(t, "h", host.WithMaxUnread(4*(unreadSize+64)))
	defer h.Close()
	connectServer(t, h, "unix://"+lis.Addr().String(), "Deaf")
	hear := require[func(context.Context, *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)](t, h, "Deaf.Hear", host.WithCodec("proto"))
	call := func(ctx context.Context) error {
		_, err := hear(ctx, wrapperspb.Bytes(make([]byte, unreadSize)))
		return err
	}
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 4)
	for range 4 {
		go func() { ended <- call(ctx) }()
		receive(t, begun, "a call to begin")
	}
	short, stop := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer stop()
	err = call(short)
	if e, ok := errors.AsType[*host.Error](err); !ok || e.Code() != codes.DeadlineExceeded || e.Sent() {
		t.Errorf("a call without room: %v; want DeadlineExceeded, and that it was not sent", err)
	}
	cancel()
	for range 4 {
		if err := receive(t, ended, "the end of a call"); status.Code(err) != codes.Canceled {
			t.Errorf("a call that was given up: %v", err)
		}
	}
	last, stop := context.WithCancel(testContext(t))
	go func() { ended <- call(last) }()
	receive(t, begun, "a call that has room again")
	stop()
	receive(t, ended, "its end")
}
