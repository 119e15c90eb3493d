//go:build explore

package interleave_test

import (
	"errors"
	"testing"

	"github.com/carp-rpc/carp-go/internal/direct"
	"github.com/carp-rpc/carp-go/internal/explore"
)

// methods are what the connection serves.
type methods map[string]*direct.Method

func (m methods) Method(r *direct.Request) *direct.Method { return m[r.Method] }

// unary is a method that is run in line, though more requests wait.
func unary(serve func(*direct.Stream)) *direct.Method {
	return direct.ModelQuick(&direct.Method{Unary: true, MaxRecv: 64, Serve: serve})
}

// notes is a method that says that it ran.
func notes(ran chan struct{}) *direct.Method {
	return unary(func(*direct.Stream) { note(ran) })
}

// serving is a connection that serves, and is looked after by the watchdog.
func serving(s *explore.Schedule, m methods) *world {
	w := newWorld(direct.Options{Handler: m})
	w.c.Watched()
	s.Daemon("door", w.c.AttendAsleep)
	s.Daemon("dog", w.c.Watch)
	return w
}

// working is a connection whose worker has begun to read what the peer has written, which
// written does.
func working(s *explore.Schedule, m methods, written func(*world)) *world {
	w := serving(s, m)
	written(w)
	w.c.Lead()
	s.Daemon("worker", w.c.Work)
	return w
}

// TestRequest: it is served, whoever comes across it.
func TestRequest(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		ran := make(chan struct{}, 1)
		w := serving(s, methods{"/a": notes(ran)})
		s.Go("peer", func() {
			w.peer.PutRequest(0, "/a")
			explore.Recv(ran)
		})
	})
}

// TestTwoRequests: the second comes while the first is served, or before or after that.
func TestTwoRequests(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		ran := make(chan struct{}, 2)
		w := serving(s, methods{"/a": notes(ran)})
		s.Go("peer", func() {
			w.peer.PutRequest(0, "/a")
			w.peer.PutRequest(1, "/a")
			explore.Recv(ran)
			explore.Recv(ran)
		})
	})
}

// TestNextRequest: the worker that served one goes to sleep, or does not, as the next comes.
func TestNextRequest(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		ran := make(chan struct{}, 2)
		w := working(s, methods{"/a": notes(ran)}, func(w *world) { w.peer.PutRequest(0, "/a") })
		s.Go("peer", func() {
			explore.Recv(ran)
			w.peer.PutRequest(1, "/a")
			explore.Recv(ran)
		})
	})
}

// TestHandlerSleeps: a handler that runs in line sleeps, and somebody may take the lead
// meanwhile.
func TestHandlerSleeps(t *testing.T) {
	exhaust(t, func(s *explore.Schedule) {
		wake, ran := make(chan struct{}, 1), make(chan struct{}, 1)
		sleeps := unary(func(*direct.Stream) { explore.Recv(wake); note(ran) })
		working(s, methods{"/a": sleeps}, func(w *world) { w.peer.PutRequest(0, "/a") })
		s.Go("peer", func() {
			note(wake)
			explore.Recv(ran)
		})
	})
}

// blocking are two methods: the first waits until the second was served.
func blocking(done chan struct{}) methods {
	second := make(chan struct{}, 1)
	return methods{
		"/a": unary(func(*direct.Stream) { explore.Recv(second); note(done) }),
		"/b": notes(second),
	}
}

// tells is told of a stream's end, and passes that on.
type tells chan struct{}

func (c tells) Canceled() { note(c) }

// TestHandlerIsCanceled: a handler that runs in line waits for the end of its call, which only
// somebody else can read.
func TestHandlerIsCanceled(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		canceled, done := make(chan struct{}, 1), make(chan struct{}, 1)
		waits := unary(func(s *direct.Stream) {
			s.OnCancel(tells(canceled))
			explore.Recv(canceled)
			note(done)
		})
		w := working(s, methods{"/a": waits}, func(w *world) { w.peer.PutRequest(0, "/a") })
		s.Go("peer", func() {
			w.peer.PutCancel(0)
			explore.Recv(done)
		})
	})
}

// TestHandlerBlocks: a handler that runs in line waits for what another request does. It is
// the watchdog that has somebody else read.
func TestHandlerBlocks(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		done := make(chan struct{}, 1)
		working(s, blocking(done), func(w *world) {
			w.peer.PutRequest(0, "/a")
			w.peer.PutRequest(1, "/b")
		})
		s.Go("peer", func() { explore.Recv(done) })
	})
}

// TestHandlerBlocksThenRequest: as before, but the other request comes at any time.
func TestHandlerBlocksThenRequest(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		done := make(chan struct{}, 1)
		w := serving(s, blocking(done))
		s.Go("peer", func() {
			w.peer.PutRequest(0, "/a")
			w.peer.PutRequest(1, "/b")
			explore.Recv(done)
			w.peer.PutRequest(2, "/b")
			w.peer.PutRequest(3, "/a")
			explore.Recv(done)
		})
	})
}

// calling are two methods: a handler of the first calls its caller, which back is.
func calling(back **direct.Stream, ran chan struct{}) methods {
	return methods{
		"/a": unary(func(*direct.Stream) { answered(background, *back); note(ran) }),
		"/b": notes(ran),
	}
}

// TestHandlerCalls: a handler that runs in line calls its caller, and leads for that, or
// follows.
func TestHandlerCalls(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		var back *direct.Stream
		ran := make(chan struct{}, 2)
		working(s, calling(&back, ran), func(w *world) {
			back = w.open()
			w.peer.PutRequest(0, "/a")
			w.peer.PutTrailer(back)
		})
		s.Go("peer", func() { explore.Recv(ran) })
	})
}

// TestHandlerCallsThenRequest: as before, with answer and another request at any time.
func TestHandlerCallsThenRequest(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		var back *direct.Stream
		ran := make(chan struct{}, 2)
		w := serving(s, calling(&back, ran))
		back = w.open()
		s.Go("peer", func() {
			w.peer.PutRequest(0, "/a")
			w.peer.PutTrailer(back)
			explore.Recv(ran)
			w.peer.PutRequest(1, "/b")
			explore.Recv(ran)
		})
	})
}

// TestCallerTakesOver: while a handler runs, a caller of this end takes the lead from it, or
// comes too late for that.
func TestCallerTakesOver(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		var a *direct.Stream
		ran := make(chan struct{}, 1)
		working(s, methods{"/a": notes(ran)}, func(w *world) {
			a = w.open()
			w.peer.PutRequest(0, "/a")
			w.peer.PutTrailer(a)
		})
		s.Go("A", func() { answered(background, a) })
		s.Go("peer", func() { explore.Recv(ran) })
	})
}

// TestCallerTakesOverThenRequest: as before, with everything at any time.
func TestCallerTakesOverThenRequest(t *testing.T) {
	sample(t, func(s *explore.Schedule) {
		ran := make(chan struct{}, 2)
		w := serving(s, methods{"/a": notes(ran)})
		a := w.open()
		s.Go("A", func() { answered(background, a) })
		s.Go("peer", func() {
			w.peer.PutRequest(0, "/a")
			w.peer.PutTrailer(a)
			w.peer.PutRequest(1, "/a")
			explore.Recv(ran)
			explore.Recv(ran)
		})
	})
}

// TestHandlerExits: runtime.Goexit in a handler that runs in line ends the goroutine that
// reads. The next request is served all the same.
func TestHandlerExits(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		ran := make(chan struct{}, 1)
		exits := unary(func(*direct.Stream) { explore.Goexit() })
		working(s, methods{"/a": exits, "/b": notes(ran)}, func(w *world) {
			w.peer.PutRequest(0, "/a")
			w.peer.PutRequest(1, "/b")
		})
		s.Go("peer", func() { explore.Recv(ran) })
	})
}

// TestCloseBesideHandler: the connection ends while a handler runs in line that waits for
// the end.
func TestCloseBesideHandler(t *testing.T) {
	large(t, func(s *explore.Schedule) {
		var w *world
		waits := unary(func(st *direct.Stream) {
			explore.Select(w.c.Done())
			if err := st.Reason(); err != nil && !errors.Is(err, direct.ErrClosed) {
				panic(err)
			}
		})
		w = working(s, methods{"/a": waits}, func(w *world) { w.peer.PutRequest(0, "/a") })
		s.Go("closer", func() {
			w.c.Close()
			explore.Select(w.c.Gone())
		})
	})
}
