package host

import (
	"context"
	"sync"
	"time"
)

// localLife is the deadline and the cancellation of a function that is called in the
// caller's own host. It ends with the caller's context, with the host, and when the function has
// returned. Most functions never look; what it takes to wake one that waits is made
// when it is asked for.
type localLife struct {
	caller context.Context //nolint:containedctx // of what it is made
	host   context.Context //nolint:containedctx // ends with the host

	mu    sync.Mutex
	inner context.Context //nolint:containedctx // or nil: what there is to be woken by
	stop  func()          // ends inner
	over  bool            // the function has returned
	err   error
}

var _ context.Context = (*localLife)(nil)

// Deadline implements [context.Context].
func (l *localLife) Deadline() (time.Time, bool) { return l.caller.Deadline() }

// Done implements [context.Context].
func (l *localLife) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		l.open()
	}
	return l.inner.Done()
}

// open makes inner. It is called with mu held.
func (l *localLife) open() {
	inner, cancel := context.WithCancel(isolated{l.caller})
	stop := context.AfterFunc(l.host, cancel)
	l.inner = inner
	l.stop = func() {
		stop()
		cancel()
	}
	if l.over || l.host.Err() != nil {
		l.stop() // end has been, or finds nothing more to do
	}
}

// Err implements [context.Context].
func (l *localLife) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil: // it doesn't change
	case l.inner != nil:
		l.err = l.inner.Err()
	case l.over || l.host.Err() != nil:
		l.err = context.Canceled
	default:
		l.err = l.caller.Err()
	}
	return l.err
}

// Value implements [context.Context]. It gives away nothing of the caller's, but lets
// package context find inner, so that contexts derived from this one need no goroutine.
func (l *localLife) Value(key any) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		return nil
	}
	return l.inner.Value(key)
}

// end is called when the function has returned.
func (l *localLife) end() {
	l.mu.Lock()
	l.over = true
	stop := l.stop
	l.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// isolated keeps the caller's context values from the called function, as any
// other wire does, but not the deadline and the cancellation.
type isolated struct{ context.Context }

func (isolated) Value(any) any { return nil }

// AfterFunc spares contexts that are derived from this one a goroutine each: the
// context package calls it.
func (c isolated) AfterFunc(f func()) func() bool { return context.AfterFunc(c.Context, f) }
