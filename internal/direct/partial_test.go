package direct

import (
	"context"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// begun tells which methods' handlers began, and serves calls of one message.
func begun(methods chan<- string) Handler {
	return serve(true, func(s *Stream) {
		methods <- s.Request().Method
		if m, err := s.Recv(context.Background()); err == nil {
			m.Free()
		}
		finish(s)
	})
}

// TestLateMessage: a call whose message is still to come keeps no other waiting, and is served
// when it has come.
func TestLateMessage(t *testing.T) {
	leak.Check(t)
	methods := make(chan string, 2)
	_, p := raw(t, 256<<10, Options{Handler: begun(methods), Spin: 50 * time.Microsecond})
	late := p.request("/late", 0, nil)
	whole := p.request("/whole", flagMessage|flagEnd, []byte("message"))
	if f := p.receive(kindTrailer); f.stream != whole {
		t.Fatalf("stream %#x ended first, want %#x", f.stream, whole)
	}
	p.frame(header{kind: kindMessage, flags: flagFirst | flagEnd, stream: late}, []byte("\x04late"))
	if f := p.receive(kindTrailer); f.stream != late {
		t.Fatalf("stream %#x ended, want %#x", f.stream, late)
	}
	if a, b := <-methods, <-methods; a == b {
		t.Errorf("the handler of %s began twice", a)
	}
}

// TestLateMessageAmongOthers: a call whose message doesn't come is served all the same, so that
// its deadline is somebody's business, however much else there is to read.
func TestLateMessageAmongOthers(t *testing.T) {
	leak.Check(t)
	methods := make(chan string, 1)
	c, p := raw(t, 256<<10, Options{Handler: begun(methods), Spin: 50 * time.Microsecond})
	late := p.request("/late", 0, nil)
	p.until("the handler to begin", func() bool {
		p.alive(c)
		return len(methods) > 0
	})
	p.control(kindCancel, 0, late, cancelPlain)
	p.alive(c)
}

// TestCanceledBeforeItsMessage: handlers are counted out whose call was canceled before its message
// had come.
func TestCanceledBeforeItsMessage(t *testing.T) {
	leak.Check(t)
	methods := make(chan string, 100)
	c, p := raw(t, 256<<10, Options{Handler: begun(methods), Spin: 50 * time.Microsecond})
	for range 100 {
		id := p.request("/late", 0, nil)
		p.control(kindCancel, 0, id, cancelPlain)
	}
	p.alive(c)
	p.until("all handlers to end", func() bool { return c.Handlers() == 0 })
}
