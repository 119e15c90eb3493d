package host

import (
	"context"
	"reflect"
	"sync"
)

// A Future is a call that is under way. Its methods may be called by any number
// of goroutines.
type Future[R any] struct {
	done   chan struct{}
	once   sync.Once
	result R
	err    error
}

// Done is closed when the call has ended.
func (f *Future[R]) Done() <-chan struct{} { return f.done }

// Wait waits for the end of the call and returns its outcome, or the error of ctx
// if that ends before. The call goes on then: it is bound to the context that it
// was begun with.
func (f *Future[R]) Wait(ctx context.Context) (R, error) {
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	select {
	case <-f.done: // both: the outcome is worth more
		return f.result, f.err
	default:
		var zero R
		return zero, ctx.Err()
	}
}

// Then calls do with the outcome when the call has ended, on a goroutine of its
// own.
func (f *Future[R]) Then(do func(R, error)) {
	go func() {
		<-f.done
		do(f.result, f.err)
	}()
}

func newFuture[R any]() *Future[R] { return &Future[R]{done: make(chan struct{})} }

func (f *Future[R]) end(result R, err error) {
	f.once.Do(func() {
		f.result, f.err = result, err
		close(f.done)
	})
}

// promise is how a required function makes and keeps a future whose type it
// knows by reflection only. The methods work on the zero Future.
type promise interface {
	begin()
	// resultType is nil for a Future[struct{}], whose call has no result.
	resultType() reflect.Type
	keep(result reflect.Value, err error)
}

func (f *Future[R]) begin() { f.done = make(chan struct{}) }

func (*Future[R]) resultType() reflect.Type {
	t := reflect.TypeFor[R]()
	if t == reflect.TypeFor[struct{}]() {
		return nil
	}
	return t
}

func (f *Future[R]) keep(result reflect.Value, err error) {
	var r R
	if err == nil && result.IsValid() {
		r, _ = result.Interface().(R)
	}
	f.end(r, err)
}

var (
	errorType   = reflect.TypeFor[error]()
	promiseType = reflect.TypeFor[promise]()
)

// withoutFuture returns, for a function type whose only result is a future, the
// type that waits, and the future's.
func withoutFuture(t reflect.Type) (plain, future reflect.Type) {
	if t.Kind() != reflect.Func || t.NumOut() != 1 || !t.Out(0).Implements(promiseType) || t.Out(0).Kind() != reflect.Pointer {
		return t, nil
	}
	in := make([]reflect.Type, t.NumIn())
	for i := range in {
		in[i] = t.In(i)
	}
	var out []reflect.Type
	if r := newPromise(t.Out(0)).resultType(); r != nil {
		out = append(out, r)
	}
	return reflect.FuncOf(in, append(out, errorType), t.IsVariadic()), t.Out(0)
}

func newPromise(t reflect.Type) promise { return reflect.New(t.Elem()).Interface().(promise) }

// start is the body of a required function that returns a future.
func (r *required) start(in []reflect.Value) []reflect.Value {
	// In belongs to the caller's frame.
	in = append([]reflect.Value(nil), in...)
	p := newPromise(r.future)
	p.begin()
	go func() {
		out := r.call(in)
		last := len(out) - 1
		err, _ := out[last].Interface().(error)
		var result reflect.Value
		if last > 0 {
			result = out[0]
		}
		p.keep(result, err)
	}()
	return []reflect.Value{reflect.ValueOf(p)}
}
