package rpctest

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/stats"
)

// statsRecorder is a stats.Handler that takes down every event of calls.
//
// On a client, headers and trailers come in while the caller is still busy with
// its messages, so what is received has a lane of its own. What is certain
// about the order is in the line of the End event.
type statsRecorder struct {
	e    *env
	lane string

	mu      sync.Mutex
	seen    map[string]int // events by type
	changed chan struct{}
}

func newStatsRecorder(e *env, lane string) *statsRecorder {
	return &statsRecorder{e: e, lane: lane, seen: map[string]int{}, changed: make(chan struct{})}
}

// tagKey finds what a handler put into a context.
type tagKey struct{ lane string }

func (r *statsRecorder) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	r.e.note(r.lane, "tag %s, fail fast %v", info.FullMethodName, info.FailFast)
	return context.WithValue(ctx, tagKey{r.lane}, "tagged")
}

func (r *statsRecorder) HandleRPC(ctx context.Context, s stats.RPCStats) {
	line := fmt.Sprintf("%v %s", ctx.Value(tagKey{r.lane}), showStats(s))
	lane := r.lane
	switch s.(type) {
	case *stats.InHeader, *stats.InTrailer:
		if s.IsClient() {
			lane += ", received"
		}
	case *stats.End:
		line += fmt.Sprintf(", after %d headers and %d trailers", r.count("*stats.InHeader"), r.count("*stats.InTrailer"))
	}
	r.e.note(lane, "%s", line)
	r.add(fmt.Sprintf("%T", s))
}

// TagConn and HandleConn do nothing; see connRecorder.
func (r *statsRecorder) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (r *statsRecorder) HandleConn(context.Context, stats.ConnStats) {}

func (r *statsRecorder) add(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[event]++
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *statsRecorder) count(event string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[event]
}

// await waits until n events of a type have come.
func (r *statsRecorder) await(event string, n int) {
	for {
		r.mu.Lock()
		seen, changed := r.seen[event], r.changed
		r.mu.Unlock()
		if seen >= n || !r.e.wait(changed, fmt.Sprintf("%d %s in %s", n, event, r.lane)) {
			return
		}
	}
}

// awaitEnds waits for the ends of n calls.
func (r *statsRecorder) awaitEnds(n int) { r.await("*stats.End", n) }

// showStats shows the fields of an event, without times, and without wire
// lengths, which belong to HTTP/2.
func showStats(s stats.RPCStats) string {
	var fields string
	switch s := s.(type) {
	case *stats.Begin:
		fields = fmt.Sprintf("time %v, fail fast %v, streams %v %v, transparent retry %v", !s.BeginTime.IsZero(), s.FailFast, s.IsClientStream, s.IsServerStream, s.IsTransparentRetryAttempt)
	case *stats.OutHeader:
		fields = fmt.Sprintf("method %q, %s, compression %q, remote %v, local %v", s.FullMethod, showMD(s.Header), s.Compression, s.RemoteAddr != nil, s.LocalAddr != nil)
	case *stats.InHeader:
		fields = fmt.Sprintf("method %q, %s, compression %q, remote %v, local %v", s.FullMethod, showMD(s.Header), s.Compression, s.RemoteAddr != nil, s.LocalAddr != nil)
	case *stats.InPayload:
		fields = fmt.Sprintf("%s, length %d, compressed %d, wire %d, time %v", showAny(s.Payload), s.Length, s.CompressedLength, s.WireLength, !s.RecvTime.IsZero())
	case *stats.OutPayload:
		fields = fmt.Sprintf("%s, length %d, compressed %d, wire %d, time %v", showAny(s.Payload), s.Length, s.CompressedLength, s.WireLength, !s.SentTime.IsZero())
	case *stats.InTrailer:
		fields = showMD(s.Trailer)
	case *stats.OutTrailer:
		fields = showMD(s.Trailer)
	case *stats.End:
		fields = fmt.Sprintf("%s, %s, times in order %v", showError(s.Error), showMD(s.Trailer), !s.BeginTime.IsZero() && !s.EndTime.Before(s.BeginTime))
	}
	return fmt.Sprintf("%T client %v: %s", s, s.IsClient(), fields)
}
