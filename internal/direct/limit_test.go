package direct_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/leak"
)

func open(ctx context.Context, c *direct.Conn, method string) (*direct.Stream, error) {
	return c.Open(ctx, &direct.Request{Method: method}, &direct.OpenOptions{MaxRecv: large})
}

func mustOpen(t *testing.T, c *direct.Conn, method string) *direct.Stream {
	t.Helper()
	s, err := open(t.Context(), c, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Streams above the limit wait for others to end, in the order in which they came.
func TestLimitStreams(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: echoes()})
	c.LimitStreams(1)
	first := mustOpen(t, c, "/stream")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := open(short, c, "/stream"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Open above the limit = %v, want the context's error", err)
	}
	var order atomic.Int32
	opened := make(chan int32, 2)
	begin := func() {
		go func() {
			s, err := open(t.Context(), c, "/stream")
			if err != nil {
				t.Error(err)
			} else {
				opened <- order.Add(1)
				s.Cancel(context.Canceled)
			}
		}()
	}
	begin()
	select {
	case <-opened:
		t.Fatal("a stream was opened above the limit")
	default:
	}
	first.Cancel(context.Canceled)
	<-opened
	begin()
	<-opened
	if ours, _ := c.Streams(); ours != 0 {
		t.Errorf("%d streams are open at the end", ours)
	}
}

// A higher limit lets those go who wait.
func TestLimitRaised(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: echoes()})
	c.LimitStreams(1)
	mustOpen(t, c, "/stream")
	opened := make(chan error, 1)
	go func() { _, err := open(t.Context(), c, "/stream"); opened <- err }()
	c.LimitStreams(2)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// The end of the connection, and the peer's wish for no further streams, end the wait.
func TestLimitEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(c, s *direct.Conn)
		want error
	}{
		"close":   {func(c, _ *direct.Conn) { c.Close() }, direct.ErrClosed},
		"go away": {func(_, s *direct.Conn) { s.GoAway() }, direct.ErrGoAway},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			c, s := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: echoes()})
			c.LimitStreams(1)
			mustOpen(t, c, "/stream")
			opened := make(chan error, 1)
			go func() { _, err := open(t.Context(), c, "/stream"); opened <- err }()
			tt.end(c, s)
			if err := <-opened; !errors.Is(err, tt.want) {
				t.Errorf("Open = %v, want %v", err, tt.want)
			}
		})
	}
}

// Many callers above the limit all get their turn, and some of them give up.
func TestLimitChurn(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: echoes()})
	c.LimitStreams(3)
	done := make(chan error)
	const callers, calls = 16, 100
	for i := range callers {
		go func() {
			var err error
			for n := range calls {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if (i+n)%7 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(n)*time.Microsecond)
				}
				_, err = call(ctx, c, []byte("x"))
				cancel()
				if err != nil && ctx.Err() == nil {
					break
				}
				err = nil
			}
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if ours, _ := c.Streams(); ours != 0 {
		t.Errorf("%d streams are open at the end", ours)
	}
}

func TestRetire(t *testing.T) {
	leak.Check(t)
	c, _ := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: echoes()})
	s := mustOpen(t, c, "/stream")
	if c.Retire() {
		t.Fatal("a connection with an open stream retires")
	}
	s.Cancel(context.Canceled)
	if !c.Retire() {
		t.Fatal("a connection without streams does not retire")
	}
	if _, err := open(t.Context(), c, "/stream"); !errors.Is(err, direct.ErrGoAway) {
		t.Errorf("Open = %v, want ErrGoAway", err)
	}
}

// What came before a stream was given up is still there for its reader.
func TestReadAfterCancel(t *testing.T) {
	leak.Check(t)
	sent, ctx := make(chan struct{}), context.Background()
	c, _ := pair(t, 64<<10, direct.Options{}, direct.Options{Handler: methods{
		"/two": {MaxRecv: large, Serve: func(s *direct.Stream) {
			for _, m := range []string{"one", "two"} {
				if err := s.Send(ctx, []byte(m), false, false); err != nil {
					t.Error(err)
				}
			}
			s.Finish(ctx, nil, direct.Answer{}, &direct.Trailer{Code: codes.OK})
			close(sent)
		}},
	}})
	s := mustOpen(t, c, "/two")
	<-sent
	if _, err := s.Header(t.Context()); err != nil { // it has all come
		t.Fatal(err)
	}
	s.Cancel(context.Canceled)
	for _, want := range []string{"one", "two"} {
		m, err := s.Recv(t.Context())
		if err != nil || string(m.Bytes()) != want {
			t.Fatalf("Recv = %q, %v, want %q", m.Bytes(), err, want)
		}
		m.Free()
	}
	if _, err := s.Recv(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Recv = %v at the end, want EOF", err)
	}
}
