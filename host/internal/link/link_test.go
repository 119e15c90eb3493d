package link_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/host/internal/link"
)

// end is one end of a stream in memory. Frames wait in a channel without room:
// a peer that doesn't receive holds up who sends.
type end struct {
	in, out chan *carpv1.Frame
	closed  chan struct{} // of both ends
}

func streams() (a, b *end) {
	x, y, closed := make(chan *carpv1.Frame), make(chan *carpv1.Frame), make(chan struct{})
	return &end{x, y, closed}, &end{y, x, closed}
}

func (e *end) Send(f *carpv1.Frame) error {
	select {
	case e.out <- f:
		return nil
	case <-e.closed:
		return io.EOF
	}
}

func (e *end) Recv() (*carpv1.Frame, error) {
	select {
	case f := <-e.in:
		return f, nil
	case <-e.closed:
		return nil, io.EOF
	}
}

// config is an end that answers calls with serve.
func config(t *testing.T, opened bool, serve func(*link.Incoming)) link.Config {
	return link.Config{
		Opened:  opened,
		Hello:   &carpv1.Hello{HostId: "id", Label: "label"},
		Context: t.Context(),
		Serve:   serve,
		Exports: func(*carpv1.Exports) error { return nil },
	}
}

// echo answers with the request and its metadata.
func echo(c *link.Incoming) {
	m, err := c.Recv()
	if err != nil {
		c.Reply(link.Result{Status: status.Convert(err)})
		return
	}
	r := link.Result{Payload: bytes.Clone(m.Data), Trailer: c.Metadata()}
	m.Free()
	c.Reply(r)
}

func unserved(c *link.Incoming) {
	c.Reply(link.Result{Status: status.New(codes.Unimplemented, "unserved")})
}

// pair links two ends and ends the link with the test.
func pair(t *testing.T, a, b link.Config) (*link.Link, *link.Link) {
	x, y := streams()
	la, lb := link.Start(x, a), link.Start(y, b)
	t.Cleanup(func() {
		la.Close(nil)
		lb.Close(nil)
		close(x.closed)
		la.Wait()
		lb.Wait()
	})
	return la, lb
}

// peerOf starts one end and returns the other as a bare stream, past the hello.
func peerOf(t *testing.T, cfg link.Config, hello *carpv1.Hello) (*link.Link, *end) {
	x, y := streams()
	l := link.Start(x, cfg)
	t.Cleanup(func() {
		l.Close(nil)
		close(x.closed)
		l.Wait()
	})
	if f, _ := y.Recv(); f.GetHello() == nil {
		t.Fatalf("the first frame is %v, want a hello", f)
	}
	if hello != nil {
		y.Send(&carpv1.Frame{Kind: &carpv1.Frame_Hello{Hello: hello}})
	}
	return l, y
}

func version1() *carpv1.Hello { return &carpv1.Hello{MinVersion: 1, MaxVersion: 1} }

// run runs a test in a bubble, where a link that gets stuck fails at once.
func run(name string, t *testing.T, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
}

// Payloads of all sizes around the limits arrive whole, both ways at a time.
func TestPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := func(opened bool) link.Config {
			c := config(t, opened, echo)
			// Room for one and a half of the largest: some have to wait.
			c.Limits = link.Limits{MaxPayload: 1 << 20, Pool: 3 << 19}
			return c
		}
		a, b := pair(t, cfg(true), cfg(false))
		sizes := []int{0, 1, 63, 64, link.MaxInline - 1, link.MaxInline, link.MaxInline + 1,
			2 * link.MaxInline, 300_001, 1<<20 - 1, 1 << 20}
		done := make(chan struct{})
		for _, l := range []*link.Link{a, b} {
			for _, n := range sizes {
				go func() {
					defer func() { done <- struct{}{} }()
					md := metadata.Pairs("k", "1", "k", "2", "b-bin", "\x00")
					r, err := l.Call(t.Context(), &link.Request{Method: "/m", Payload: payload(n), Metadata: md})
					if err != nil || r.Status.Code() != codes.OK {
						t.Errorf("%d bytes: %v, %v", n, r, err)
						return
					}
					if !bytes.Equal(r.Payload, payload(n)) {
						t.Errorf("%d bytes came back as %d others", n, len(r.Payload))
					}
					if strings.Join(r.Trailer.Get("k"), "") != "12" || r.Trailer.Get("b-bin")[0] != "\x00" {
						t.Errorf("metadata came back as %v", r.Trailer)
					}
				}()
			}
		}
		for range 2 * len(sizes) {
			<-done
		}
	})
}

// A small call doesn't wait for a large payload that is on its way.
func TestInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, peer := peerOf(t, config(t, true, unserved), version1())
		for range 2 {
			go l.Call(t.Context(), &link.Request{Method: "/large", Payload: payload(3 << 20)})
		}
		synctest.Wait()
		ids := make(map[uint64]int)
		take := func() *carpv1.Frame {
			f, _ := peer.Recv()
			if f.GetChunk() != nil {
				ids[f.GetId()]++
				n := uint64(len(f.GetChunk().GetData()))
				credit := func(id uint64) {
					peer.Send(&carpv1.Frame{Id: id, Kind: &carpv1.Frame_Credit{Credit: &carpv1.Credit{Bytes: n}}})
				}
				credit(0)
				credit(f.GetId())
			}
			return f
		}
		for range 2 {
			if take().GetCall() == nil {
				t.Fatal("chunks before the calls that announce them")
			}
		}
		for range 20 {
			take()
		}
		if ids[1] < 9 || ids[3] < 9 {
			t.Errorf("20 chunks of two payloads were not sent in turn: %v", ids)
		}
		synctest.Wait() // for the credit to arrive: a chunk is now being sent
		go l.Call(t.Context(), &link.Request{Method: "/small"})
		synctest.Wait()
		if take(); take().GetCall().GetMethod() != "/small" {
			t.Error("the small call waits behind chunks")
		}
	})
}

// What is not read is not sent without bound: windows hold it up.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := version1()
		hello.Limits = &carpv1.Limits{CallWindow: 100_000, LinkWindow: 150_000}
		l, peer := peerOf(t, config(t, true, unserved), hello)
		for range 2 {
			go l.Call(t.Context(), &link.Request{Method: "/large", Payload: payload(1 << 20)})
		}
		sent := make(map[uint64]int)
		total := 0
		frames := make(chan *carpv1.Frame)
		go func() {
			for {
				f, err := peer.Recv()
				if err != nil {
					return
				}
				select {
				case frames <- f:
				case <-peer.closed:
				}
			}
		}()
		for {
			synctest.Wait()
			select {
			case f := <-frames:
				sent[f.GetId()] += len(f.GetChunk().GetData())
				total += len(f.GetChunk().GetData())
				continue
			default:
			}
			break
		}
		if sent[1] > 100_000 || sent[3] > 100_000 || total > 150_000 || total < 150_000-64 {
			t.Errorf("sent %v, with windows of 100000 and 150000", sent)
		}
	})
}

func TestCancel(t *testing.T) {
	run("running", t, func(t *testing.T) {
		ended := make(chan error, 1)
		wait := func(c *link.Incoming) {
			<-c.Context().Done()
			ended <- c.Context().Err()
			c.Reply(link.Result{})
		}
		a, _ := pair(t, config(t, true, unserved), config(t, false, wait))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := a.Call(ctx, &link.Request{Method: "/m"}); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller got %v", err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the callee got %v", err)
		}
	})
	run("deadline", t, func(t *testing.T) {
		left := make(chan time.Duration, 1)
		wait := func(c *link.Incoming) {
			deadline, _ := c.Context().Deadline()
			left <- time.Until(deadline)
			<-c.Context().Done()
			<-t.Context().Done() // not before the caller sees its own deadline
			c.Reply(link.Result{})
		}
		a, _ := pair(t, config(t, true, unserved), config(t, false, wait))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.Call(ctx, &link.Request{Method: "/m"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller got %v", err)
		}
		if got := <-left; got != time.Minute {
			t.Errorf("the callee had %v", got)
		}
	})
	run("while the request is being sent", t, func(t *testing.T) {
		l, peer := peerOf(t, config(t, true, unserved), version1())
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := l.Call(ctx, &link.Request{Method: "/m", Payload: payload(1 << 20)}); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller got %v", err)
			}
		}()
		peer.Recv() // the call
		peer.Recv() // a chunk; there is no credit for more
		synctest.Wait()
		cancel()
		if f, _ := peer.Recv(); f.GetCancel() == nil {
			t.Errorf("%v, want a cancel", f)
		}
		peer.Send(credit(1, 1<<20))
		synctest.Wait()
		select {
		case f := <-peer.in:
			t.Errorf("%v was sent of a call that was given up", f)
		default:
		}
	})
	run("while the request is being received", t, func(t *testing.T) {
		_, peer := peerOf(t, config(t, false, unserved), version1())
		peer.Send(callFrame(1, &carpv1.Call{Method: "/m", PayloadSize: 1 << 20}))
		if f, _ := peer.Recv(); f.GetCredit() == nil {
			t.Errorf("%v, want credit for the rest", f)
		}
		peer.Send(&carpv1.Frame{Id: 1, Kind: &carpv1.Frame_Cancel{Cancel: &carpv1.Cancel{}}})
		if f, _ := peer.Recv(); codes.Code(f.GetReply().GetCode()) != codes.Canceled {
			t.Errorf("%v, want the reply Canceled", f)
		}
	})
}

// A cancelled call's large reply is let through and dropped, and its slot is
// free again.
func TestCancelWhileReplyArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := version1()
		hello.Limits = &carpv1.Limits{MaxCalls: 1}
		l, peer := peerOf(t, config(t, true, unserved), hello)
		ctx, cancel := context.WithCancel(t.Context())
		go l.Call(ctx, &link.Request{Method: "/m"})
		peer.Recv()
		const size = 200_000
		peer.Send(&carpv1.Frame{Id: 1, Kind: &carpv1.Frame_Reply{Reply: &carpv1.Reply{PayloadSize: size}}})
		if f, _ := peer.Recv(); f.GetCredit().GetBytes() < size-65536 {
			t.Errorf("%v, want credit for the rest", f)
		}
		cancel()
		if f, _ := peer.Recv(); f.GetCancel() == nil {
			t.Errorf("%v, want a cancel", f)
		}
		ended := make(chan error)
		go func() {
			_, err := l.Call(t.Context(), &link.Request{Method: "/next"})
			ended <- err
		}()
		for left := size; left > 0; left -= link.MaxInline {
			peer.Send(chunkFrame(1, min(left, link.MaxInline)))
		}
		if f, _ := peer.Recv(); f.GetCall().GetMethod() != "/next" {
			t.Errorf("%v, want the next call", f)
		}
		peer.Send(&carpv1.Frame{Id: 3, Kind: &carpv1.Frame_Reply{Reply: &carpv1.Reply{}}})
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func callFrame(id uint64, c *carpv1.Call) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Call{Call: c}}
}

func chunkFrame(id uint64, n int) *carpv1.Frame {
	return &carpv1.Frame{Id: id, Kind: &carpv1.Frame_Chunk{Chunk: &carpv1.Chunk{Data: make([]byte, n)}}}
}

// The end of a link ends calls in flight, and says whether they were sent.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := version1()
		hello.Limits = &carpv1.Limits{MaxCalls: 1}
		l, peer := peerOf(t, config(t, true, unserved), hello)
		call := func(ended chan<- error) {
			_, err := l.Call(t.Context(), &link.Request{Method: "/m"})
			ended <- err
		}
		first, second := make(chan error), make(chan error)
		go call(first)
		peer.Recv()
		go call(second) // waits for the first to end
		synctest.Wait()
		l.Close(errors.New("gone"))
		for name, test := range map[string]struct {
			ended chan error
			sent  bool
		}{"first": {first, true}, "second": {second, false}} {
			var lost *link.LostError
			err := <-test.ended
			if !errors.As(err, &lost) || lost.Sent != test.sent || status.Code(err) != codes.Unavailable {
				t.Errorf("the %s call ended with %v, want a LostError with Sent %v", name, err, test.sent)
			}
		}
	})
}

// Goaway lets calls in flight finish, and takes no more.
func TestGoaway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		a, b := pair(t, config(t, true, unserved), config(t, false, func(c *link.Incoming) {
			<-release
			c.Reply(link.Result{Payload: []byte("done")})
		}))
		answered := make(chan string)
		go func() {
			r, err := a.Call(t.Context(), &link.Request{Method: "/m"})
			if err != nil {
				t.Error(err)
				r = &link.Response{}
			}
			answered <- string(r.Payload)
		}()
		synctest.Wait()
		left := make(chan error)
		go func() { left <- b.Goaway(t.Context(), "bye") }()
		synctest.Wait()
		var lost *link.LostError
		if _, err := a.Call(t.Context(), &link.Request{Method: "/m"}); !errors.As(err, &lost) || lost.Sent {
			t.Errorf("a call after goaway: %v", err)
		}
		close(release)
		if got := <-answered; got != "done" {
			t.Errorf("the call in flight was answered with %q", got)
		}
		if err := <-left; err != nil {
			t.Errorf("Goaway: %v", err)
		}
	})
}

// A peer that is silent is asked whether it lives, and given up if it isn't heard
// of.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t, true, unserved)
		cfg.Keepalive = time.Minute
		begun := time.Now()
		l, peer := peerOf(t, cfg, version1())
		for range 3 { // it lives as long as it answers
			f, _ := peer.Recv()
			if f.GetPing() == nil {
				t.Fatalf("%v, want a ping", f)
			}
			peer.Send(&carpv1.Frame{Kind: &carpv1.Frame_Pong{Pong: &carpv1.Pong{}}})
		}
		peer.Recv()
		<-l.Done()
		if err := l.Err(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no sign of life") {
			t.Errorf("the link ended with %v", err)
		}
		if lived := time.Since(begun); lived < 5*time.Minute || lived > 9*time.Minute {
			t.Errorf("the link ended after %v", lived)
		}
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := false
		cfg := config(t, false, unserved)
		cfg.Exports = func(*carpv1.Exports) error { told = true; return nil }
		announce := config(t, true, unserved)
		left := []*carpv1.Exports{{Generation: 1, Full: true}}
		announce.Announcement = func() *carpv1.Exports {
			if len(left) == 0 {
				return nil
			}
			e := left[0]
			left = left[1:]
			return e
		}
		a, _ := pair(t, announce, cfg)
		if err := a.Ping(t.Context()); err != nil || !told {
			t.Errorf("%v, the announcement before it was heard: %v", err, told)
		}
		a.Close(io.ErrUnexpectedEOF)
		if err := a.Ping(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Ping over a link that has ended: %v", err)
		}
	})
}
