package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// streaming is the hello of a peer that has streams.
func streaming() *carpv1.Hello {
	h := version1()
	h.Features = []string{link.Streams}
	return h
}

func itemFrame(id uint64, n int) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Item{Item: &carpv1.Item{Payload: make([]byte, n)}}}
}

func largeItem(id, size uint64) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Item{Item: &carpv1.Item{PayloadSize: size}}}
}

func endFrame(id uint64) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_End{End: &carpv1.End{}}}
}

// echoStream answers each message with itself, behind a header.
func echoStream(c *link.Incoming) {
	err := c.SendHeader(metadata.Pairs("head", "h"))
	for err == nil {
		var m link.Message
		if m, err = c.Recv(); err == nil {
			data := bytes.Clone(m.Data)
			m.Free()
			err = c.Send(data)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.Reply(link.Result{Status: status.Convert(err), Trailer: metadata.Pairs("trail", "t")})
}

// Messages of all sizes go both ways in the same call, in many calls at a time and
// in both directions, with the smallest windows and little room.
func TestStreamsBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := func(opened bool) link.Config {
			c := config(t, opened, echoStream)
			c.Limits = link.Limits{MaxPayload: 1 << 20, Pool: 1 << 20, LinkWindow: 1, CallWindow: 1}
			return c
		}
		a, b := pair(t, cfg(true), cfg(false))
		sizes := []int{0, 1, 64, 60_000, link.MaxInline, 60_000, link.MaxInline + 1, 300_001, 0, 1 << 20, 5}
		var wg sync.WaitGroup
		for _, l := range []*link.Link{a, b} {
			for range 5 {
				wg.Go(func() { exchange(t, l, sizes) })
			}
		}
		wg.Wait()
	})
}

func exchange(t *testing.T, l *link.Link, sizes []int) {
	out, err := l.Open(t.Context(), &link.Request{Method: "/m", Streaming: true, TakesItems: true})
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		for _, n := range sizes {
			if err := out.Send(payload(n)); err != nil {
				t.Errorf("Send of %d bytes: %v", n, err)
			}
		}
		out.CloseSend()
	}()
	if md, err := out.Header(); err != nil || len(md.Get("head")) != 1 {
		t.Errorf("header %v, %v", md, err)
	}
	for _, n := range sizes {
		m, err := out.Recv()
		if err != nil || !bytes.Equal(m.Data, payload(n)) {
			t.Errorf("%d bytes came back as %d, %v", n, len(m.Data), err)
			return
		}
		m.Free()
	}
	if _, err := out.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if r, err := out.Response(); err != nil || r.Status.Code() != codes.OK || len(r.Trailer.Get("trail")) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

// Streams that nobody reads take no room that other calls need.
func TestUnreadStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(c *link.Incoming) {
			if c.Method() == "/echo" {
				echo(c)
				return
			}
			var err error
			for err == nil {
				err = c.Send(payload(1 << 20))
			}
			c.Reply(link.Result{Status: status.FromContextError(err)})
		}
		cfg := func(opened bool) link.Config {
			c := config(t, opened, serve)
			c.Limits = link.Limits{MaxPayload: 1 << 20, Pool: 1 << 20}
			return c
		}
		a, _ := pair(t, cfg(true), cfg(false))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last *link.Outgoing
		for range 30 {
			out, err := a.Open(ctx, &link.Request{Method: "/flood", TakesItems: true})
			if err != nil {
				t.Fatal(err)
			}
			last = out
		}
		synctest.Wait()
		if r, err := a.Call(ctx, &link.Request{Method: "/echo", Payload: payload(1 << 20)}); err != nil || len(r.Payload) != 1<<20 {
			t.Errorf("a large call beside unread streams: %v", err)
		}
		for range 3 {
			m, err := last.Recv()
			if err != nil || len(m.Data) != 1<<20 {
				t.Fatalf("%d bytes, %v", len(m.Data), err)
			}
			m.Free()
		}
	})
}

// Items wait for credit, cancel does not wait for items.
func TestItemCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer := peerOf(t, config(t, true, unserved), streaming())
		ctx, cancel := context.WithCancel(t.Context())
		out, err := l.Open(ctx, &link.Request{Method: "/m", Streaming: true})
		if err != nil {
			t.Fatal(err)
		}
		var sent atomic.Int64
		go func() {
			for out.Send(payload(40_000)) == nil {
				sent.Add(1)
			}
		}()
		if f, _ := peer.Recv(); !f.GetCall().GetStreaming() {
			t.Errorf("%v, want a streaming call", f)
		}
		for range 2 { // 65536 is above 0 after the first, and below after the second
			if f, _ := peer.Recv(); len(f.GetItem().GetPayload()) != 40_000 {
				t.Errorf("%v, want an item", f)
			}
		}
		synctest.Wait()
		if got := sent.Load(); got != 2 {
			t.Errorf("%d items were sent without credit", got)
		}
		peer.Send(credit(1, 14_464)) // exactly 0
		synctest.Wait()
		if got := sent.Load(); got != 2 {
			t.Errorf("%d items were sent with a window of 0", got)
		}
		peer.Send(credit(1, 1))
		if f, _ := peer.Recv(); f.GetItem() == nil {
			t.Errorf("%v, want an item", f)
		}
		cancel()
		if f, _ := peer.Recv(); f.GetCancel() == nil {
			t.Errorf("%v, want a cancel", f)
		}
		if _, err := out.Response(); !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
	})
}

// A peer without the feature is an older one: it gets calls, and no streams.
func TestOlderPeerHasNoStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer := peerOf(t, config(t, true, unserved), version1())
		for _, req := range []*link.Request{{Method: "/m", Streaming: true}, {Method: "/m", TakesItems: true}} {
			if _, err := l.Open(t.Context(), req); status.Code(err) != codes.Unimplemented {
				t.Errorf("%v, want Unimplemented", err)
			}
		}
		go l.Call(t.Context(), &link.Request{Method: "/m"})
		if f, _ := peer.Recv(); f.GetCall() == nil {
			t.Errorf("%v, want a call", f)
		}
	})
}

// What a peer does wrong with items ends the link.
func TestItemViolations(t *testing.T) {
	hello := &carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: version1()}}
	call := callFrame(1, &carpv1.Call{Streaming: true, TakesItems: true})
	for name, test := range map[string]struct {
		frames []*carpv1.Frame
		want   string
	}{
		"an item for one":       {[]*carpv1.Frame{callFrame(1, &carpv1.Call{}), itemFrame(1, 1)}, "takes none"},
		"an item after the end": {[]*carpv1.Frame{call, endFrame(1), itemFrame(1, 1)}, "takes none"},
		"two ends":              {[]*carpv1.Frame{call, endFrame(1), endFrame(1)}, "an end of call 1"},
		"an end in an item":     {[]*carpv1.Frame{call, largeItem(1, 100_000), endFrame(1)}, "an end of call 1"},
		"an item in another":    {[]*carpv1.Frame{call, largeItem(1, 100_000), itemFrame(1, 1)}, "inside of another"},
		"a chunk after an item": {[]*carpv1.Frame{call, itemFrame(1, 1), chunkFrame(1, 1)}, "awaits none"},
		"too much inline":       {[]*carpv1.Frame{call, itemFrame(1, link.MaxInline+1)}, "in one frame"},
		"a payload and items":   {[]*carpv1.Frame{callFrame(1, &carpv1.Call{Streaming: true, Payload: []byte("x")})}, "a payload and a stream"},
		"beyond the window":     {[]*carpv1.Frame{call, itemFrame(1, 65536), itemFrame(1, 1)}, "the window of call 1"},
	} {
		run(name, t, func(t *testing.T) {
			cfg := config(t, false, func(c *link.Incoming) { <-c.Context().Done(); c.Reply(link.Result{}) })
			l, peer := peerOf(t, cfg, nil)
			for _, f := range append([]*carpv1.Frame{hello}, test.frames...) {
				peer.Send(f)
			}
			<-l.Done()
			if err := l.Err(); !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want something about %q", err, test.want)
			}
		})
	}
}

// A message that is too large ends its call, not the link, and the rest of it is
// let through.
func TestItemTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t, false, echoStream)
		cfg.Limits.MaxPayload = 100_000
		_, peer := peerOf(t, cfg, version1())
		peer.Send(callFrame(1, &carpv1.Call{Streaming: true, TakesItems: true}))
		if f, _ := peer.Recv(); f.GetHeader() == nil {
			t.Errorf("%v, want a header", f)
		}
		peer.Send(largeItem(1, 100_001))
		if f, _ := peer.Recv(); f.GetCredit() == nil {
			t.Errorf("%v, want credit for the rest", f)
		}
		if f, _ := peer.Recv(); codes.Code(f.GetReply().GetCode()) != codes.ResourceExhausted {
			t.Errorf("%v, want the reply ResourceExhausted", f)
		}
		peer.Send(chunkFrame(1, 65536))
		peer.Send(chunkFrame(1, 100_001-65536))
		peer.Send(callFrame(3, &carpv1.Call{}))
		if f, _ := peer.Recv(); f.GetId() != 3 {
			t.Errorf("%v, want an answer to the next call", f)
		}
	})
}

// A peer that reads no answers has no further calls served: a call is over when
// its answer has been sent.
func TestUnreadAnswersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4
		var served atomic.Int64
		cfg := config(t, false, func(c *link.Incoming) {
			served.Add(1)
			c.Reply(link.Result{Payload: payload(60_000)})
		})
		cfg.Limits.MaxCalls = most
		_, peer := peerOf(t, cfg, version1())
		for id := uint64(1); id < 200; id += 2 {
			peer.Send(callFrame(id, &carpv1.Call{}))
			synctest.Wait()
		}
		// One answer is with the transport, which holds it up.
		if got := served.Load(); got > most+1 {
			t.Errorf("%d calls were served, with room for %d", got, most)
		}
		for i := range most + 1 {
			if f, _ := peer.Recv(); len(f.GetReply().GetPayload()) != 60_000 {
				t.Errorf("answer %d: code %d", i, f.GetReply().GetCode())
			}
		}
		f, _ := peer.Recv()
		if md := fmt.Sprint(f.GetReply().GetMetadata()); codes.Code(f.GetReply().GetCode()) != codes.ResourceExhausted || !strings.Contains(md, link.RefusedKey) {
			t.Errorf("%v, want ResourceExhausted, and that the call was refused", f)
		}
	})
}

// A message that its receiver has had was sent, whatever has become of the call
// before its sender looks.
func TestSendHasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error)
		a, _ := pair(t, config(t, true, unserved), config(t, false, func(c *link.Incoming) {
			sent <- c.Send(payload(10))
			c.Reply(link.Result{})
		}))
		for range 2000 {
			out, err := a.Open(t.Context(), &link.Request{Method: "/m", TakesItems: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := out.Recv(); err != nil {
				t.Fatal(err)
			}
			out.Cancel()
			if err := <-sent; err != nil {
				t.Fatalf("Send of what has arrived: %v", err)
			}
		}
	})
}
