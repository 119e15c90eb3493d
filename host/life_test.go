package host

import (
	"context"
	"errors"
	"testing"
	"time"
)

// countingContext counts who waits for its end.
type countingContext struct {
	context.Context
	waiting *int
}

func (c countingContext) Done() <-chan struct{} { return make(chan struct{}) }

func (c countingContext) AfterFunc(f func()) func() bool {
	*c.waiting++
	stop := context.AfterFunc(c.Context, f)
	return func() bool {
		*c.waiting--
		return stop()
	}
}

// A context that is first waited for when the function has returned leaves nothing with
// the host, nor with the caller.
func TestLocalLifeEndsWithoutRest(t *testing.T) {
	for name, wait := range map[string]func(*localLife){
		"before": func(l *localLife) { l.Done(); l.end() },
		"after":  func(l *localLife) { l.end(); l.Done() },
		"both":   func(l *localLife) { l.Done(); l.end(); l.Done() },
	} {
		var waiting int
		c := countingContext{context.Background(), &waiting}
		l := &localLife{caller: c, host: c}
		wait(l)
		select {
		case <-l.Done():
		case <-time.After(time.Minute):
			t.Fatal("the context has not ended")
		}
		if !errors.Is(l.Err(), context.Canceled) {
			t.Errorf("%s: %v", name, l.Err())
		}
		if waiting != 0 {
			t.Errorf("%s: %d functions wait for contexts that go on", name, waiting)
		}
	}
}
