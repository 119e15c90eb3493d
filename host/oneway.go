package host

import (
	"context"
	"errors"
	"reflect"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// callFlags are what a call says of itself beside its arguments. Each transport has
// its own place for them.
type callFlags struct {
	oneWay   bool
	instance string // the object whose method is called
	stray    string // a reserved metadata key that the contract doesn't have, or ""
}

func (q *request) flags() callFlags { return callFlags{oneWay: q.oneWay, instance: q.instance} }

// post answers a one-way call and runs the function thereafter.
func (f *function) post(c *call, in []reflect.Value) error {
	h := f.host
	select {
	case h.posted <- struct{}{}:
	default:
		return hostError(codes.ResourceExhausted, "%s: %d one-way calls are running, more are not taken", pathName(c.path), cap(h.posted))
	}
	if !h.begin(f) {
		<-h.posted
		return hostError(codes.Unavailable, "host %q is shutting down", h.label)
	}
	ctx, cancel := f.detached(c)
	if f.sig.Context {
		in[len(f.recv)+len(c.recv)] = reflect.ValueOf(ctx)
	}
	done := c.done // the object stays while the function runs
	c.done = nil
	go func() {
		defer func() {
			cancel()
			if done != nil {
				done()
			}
			<-h.posted
			h.end(f)
		}()
		if err := f.runPosted(ctx, c.path, in); err != nil {
			h.failed(ctx, c.path, err)
		}
	}()
	return c.send(raw.Message{})
}

// detached is the context of a function that goes on after its call: it has the
// call's values, and ends by itself or with the host.
func (f *function) detached(c *call) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), f.host.oneWayTime)
	stop := context.AfterFunc(f.host.ctx, cancel)
	after := &call{host: f.host, ctx: ctx, path: c.path, link: c.link, codec: c.codec, wire: nowhere{}}
	return grpc.NewContextWithServerTransportStream(ctx, after), func() {
		stop()
		cancel()
	}
}

func (f *function) runPosted(ctx context.Context, path string, in []reflect.Value) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.host.panicked(ctx, path, p, debug.Stack())
		}
	}()
	_, err = f.call(in)
	return err
}

// failed reports the error of a call to whose caller it can't be told.
func (h *Host) failed(ctx context.Context, path string, err error) {
	h.log.ErrorContext(ctx, "a one-way call has failed", "method", pathName(path), "err", err)
	if hook := h.hooks.Error; hook != nil {
		hook(ctx, path, err)
	}
}

// nowhere is the wire of a call that has been answered.
type nowhere struct{}

var (
	_ wire = nowhere{}

	errAnswered = errors.New("the call was one-way and has been answered")
)

func (nowhere) recv() (raw.Message, error)   { return raw.Message{}, errAnswered }
func (nowhere) sendHeader(metadata.MD) error { return errAnswered }
func (nowhere) send(msg raw.Message, _ func()) error {
	msg.Free()
	return errAnswered
}
