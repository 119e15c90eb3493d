package host

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host/internal/link"
)

// A RetryPolicy says how often calls of idempotent methods are made again when
// it is not known whether the first was run: after the code Unavailable. Calls
// that were provably not run are made elsewhere in any case.
type RetryPolicy struct {
	// Attempts is how often a call is made at most, the first time included. 0
	// and 1 are no retries.
	Attempts int
	// Backoff is the wait before a second attempt, and further ones. The zero
	// value is [grpc/backoff.DefaultConfig].
	Backoff backoff.Config
}

// refusedError is the answer of a peer that has not handed the call to user code.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error              { return e.error }
func (e *refusedError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// unsent tells that a call that ended with err was provably not handed to user
// code, and that another provider might take it.
func unsent(err error) bool {
	if _, ok := errors.AsType[*refusedError](err); ok {
		return true
	}
	lost, ok := errors.AsType[*link.LostError](err)
	return ok && !lost.Sent
}

// A try makes a call at a provider.
type try func(context.Context, *request, provider) error

// make makes a call, within the interceptors of outgoing calls.
func (h *Host) make(ctx context.Context, q *request, try try) error {
	if len(h.outgoing) == 0 {
		return h.attempt(ctx, q, try)
	}
	return h.intercept(ctx, q, func(ctx context.Context) error { return h.attempt(ctx, q, try) })
}

// attempt makes a call at one provider after the other: at most once, unless the
// method may be called more often. The error is the last one's, or that there is
// none.
func (h *Host) attempt(ctx context.Context, q *request, try try) error {
	if err := checkOutgoing(ctx); err != nil {
		return err
	}
	cfg := q.cfg
	if cfg == nil {
		cfg = &h.config.call
	}
	if q.to != nil {
		return bare(try(ctx, q, *q.to))
	}
	wait := waitsForReady(q.opts, cfg.waitForReady)
	d := q.demand
	if d == nil {
		d = newDemand(q.path)
	}
	var tried []*Link
	var last error
	for attempts := 1; ; {
		p, err := h.pickFor(d, tried)
		if err != nil {
			if last != nil {
				err = last
			}
			if !wait || h.ctx.Err() != nil || last != nil && !passes(last) {
				return bare(err)
			}
			q.handed = false
			if err := h.awaitChange(ctx, d, len(tried) > 0); err != nil {
				return err
			}
			tried = nil
			continue
		}
		last = try(ctx, q, p)
		switch {
		case last == nil || ctx.Err() != nil:
			return last
		case unsent(last) && p.link != nil:
			tried = append(tried, p.link)
		case p.idempotent(q.path) && attempts < cfg.retry.Attempts && status.Code(last) == codes.Unavailable:
			if !sleep(ctx, cfg.retry.delay(attempts)) {
				return last
			}
			q.before = q.before || handedError(q.path, last, nil, q.handed).sent
			attempts++
		default:
			return bare(last)
		}
	}
}

// passes tells whether a refusal may be over soon: the provider shuts down or has just taken
// the export back. Who may not call, or calls wrongly, waits for nothing.
func passes(refusal error) bool {
	code := status.Code(refusal)
	return code == codes.Unavailable || code == codes.Unimplemented
}

// bare is the error that a refused call is told as.
func bare(err error) error {
	if refused, ok := err.(*refusedError); ok { //nolint:errorlint // only as attempt has it
		return refused.error
	}
	return err
}

// waitsForReady reads the call options: the last one counts.
func waitsForReady(opts []grpc.CallOption, otherwise bool) bool {
	for _, o := range opts {
		if f, ok := o.(grpc.FailFastCallOption); ok {
			otherwise = !f.FailFast
		}
	}
	return otherwise
}

// impatience is how soon providers are asked again that took no call.
const impatience = 100 * time.Millisecond

// awaitChange waits until there is a provider of a path. If those that there are
// have refused, it waits for a change.
func (h *Host) awaitChange(ctx context.Context, d *demand, refused bool) error {
	changed, stop := h.peers.watch(d.service)
	defer stop()
	var again <-chan time.Time
	if refused {
		timer := time.NewTimer(impatience)
		defer timer.Stop()
		again = timer.C
	} else if h.provided(d) {
		return nil
	}
	select {
	case <-changed:
		return nil
	case <-again:
		return nil
	case <-h.ctx.Done():
		return status.Errorf(codes.Unavailable, "host %q: %v", h.label, ErrClosed)
	case <-ctx.Done():
		return h.notProvided(ctx, d)
	}
}

// idempotent tells whether the provider says so of the method.
func (p provider) idempotent(path string) bool {
	_, method, _ := splitPath(path)
	return p.offer != nil && p.offer.methods[method].GetIdempotent()
}

// delay is the wait after so many attempts.
func (r *RetryPolicy) delay(attempts int) time.Duration {
	cfg := r.Backoff
	if cfg == (backoff.Config{}) {
		cfg = backoff.DefaultConfig
	}
	return backoffDelay(cfg, attempts-1)
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
