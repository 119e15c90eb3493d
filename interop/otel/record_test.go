package otel_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// allowed are the attributes whose values are right to differ, and why. That an end tells
// them at all is compared.
var allowed = map[attribute.Key]string{
	"server.address": "each stack listens elsewhere",
	"server.port":    "sockets of unix and shm have paths and no ports: an attribute that only tcp has",
}

// portless is the one attribute that some stacks don't have.
const portless attribute.Key = "server.port"

// recorder keeps spans and metrics in memory. It is a span processor.
type recorder struct {
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
	reader  *sdkmetric.ManualReader

	mu      sync.Mutex
	started []sdktrace.ReadOnlySpan
	ended   int
	changed chan struct{} // closed when a span ends
}

func newRecorder() *recorder {
	r := &recorder{reader: sdkmetric.NewManualReader(), changed: make(chan struct{})}
	r.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	r.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	return r
}

func (r *recorder) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, s)
}

func (r *recorder) OnEnd(sdktrace.ReadOnlySpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended++
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) Shutdown(context.Context) error   { return nil }
func (r *recorder) ForceFlush(context.Context) error { return nil }

// await waits until n spans have ended.
func (r *recorder) await(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		r.mu.Lock()
		ended, changed := r.ended, r.changed
		r.mu.Unlock()
		if ended >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Errorf("%d spans have ended, want %d", ended, n)
			return
		}
	}
}

// lines are what was recorded: the spans as a tree, and the metrics.
func (r *recorder) lines(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[trace.SpanID]bool{}
	children := map[trace.SpanID][]sdktrace.ReadOnlySpan{}
	for _, s := range r.started {
		known[s.SpanContext().SpanID()] = true
	}
	for _, s := range r.started {
		parent := s.Parent().SpanID()
		if !known[parent] {
			parent = trace.SpanID{} // nobody's child
		}
		children[parent] = append(children[parent], s)
	}
	return append(tree(children, trace.SpanID{}, ""), r.metricLines(t)...)
}

// tree shows the spans below a parent, those of one parent in the order of their text.
func tree(children map[trace.SpanID][]sdktrace.ReadOnlySpan, parent trace.SpanID, indent string) []string {
	var branches []string
	for _, s := range children[parent] {
		branch := append([]string{indent + showSpan(s)}, tree(children, s.SpanContext().SpanID(), indent+"  ")...)
		branches = append(branches, strings.Join(branch, "\n"))
	}
	slices.Sort(branches)
	if len(branches) == 0 {
		return nil
	}
	return strings.Split(strings.Join(branches, "\n"), "\n")
}

func showSpan(s sdktrace.ReadOnlySpan) string {
	line := fmt.Sprintf("span %q %v", s.Name(), s.SpanKind())
	if s.Parent().IsValid() {
		line += fmt.Sprintf(", parent remote %v, same trace %v", s.Parent().IsRemote(), s.Parent().TraceID() == s.SpanContext().TraceID())
	}
	line += fmt.Sprintf(", ended %v, status %v %q", !s.EndTime().IsZero(), s.Status().Code, s.Status().Description)
	line += fmt.Sprintf(", scope %s, links %d, %s", s.InstrumentationScope().Name, len(s.Links()), showAttributes(s.Attributes()))
	for _, e := range s.Events() {
		line += fmt.Sprintf(", event %s %s", e.Name, showAttributes(e.Attributes))
	}
	return line
}

func showAttributes(attrs []attribute.KeyValue) string {
	attrs = slices.Clone(attrs)
	slices.SortFunc(attrs, func(a, b attribute.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	var texts []string
	for _, a := range attrs {
		switch {
		case a.Key == portless:
		case allowed[a.Key] != "":
			texts = append(texts, string(a.Key))
		default:
			texts = append(texts, fmt.Sprintf("%s=%v", a.Key, a.Value.String()))
		}
	}
	return "[" + strings.Join(texts, " ") + "]"
}

// metricLines show the metrics, and how often what was measured.
func (r *recorder) metricLines(t *testing.T) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			points, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				t.Fatalf("metric %s is a %T", m.Name, m.Data)
			}
			for _, p := range points.DataPoints {
				lines = append(lines, fmt.Sprintf("metric %s in %s: %d times %s", m.Name, m.Unit, p.Count, showAttributes(p.Attributes.ToSlice())))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
