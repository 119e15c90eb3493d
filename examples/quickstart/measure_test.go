package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestMeasureCountsCalls(t *testing.T) {
	calls := 0
	rows := []*row{{call: func(context.Context) error { calls++; return nil }}}
	if err := measure(t.Context(), rows, 2000); err != nil {
		t.Fatal(err)
	}
	if calls != 2000 || len(rows[0].took) != 2000 {
		t.Errorf("%d calls, %d latencies, want 2000 of both", calls, len(rows[0].took))
	}
}

func TestMeasureStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	rows := []*row{{
		transport: "shm", codec: "json", method: "Calculator.Add",
		call: func(context.Context) error { return broken },
	}}
	err := measure(t.Context(), rows, 2000)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "Calculator.Add with json over shm") {
		t.Errorf("measure() = %v, want the failed call named and its error wrapped", err)
	}
}

func TestPercentile(t *testing.T) {
	r := &row{}
	for i := range 200 {
		r.took = append(r.took, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := r.percentile(p); got != want {
			t.Errorf("percentile(%d) of 1…200 = %d, want %d", p, got, want)
		}
	}
	if got := (&row{took: []time.Duration{7}}).percentile(50); got != 7 {
		t.Errorf("percentile(50) of one = %d, want it", got)
	}
}

func TestTableIsAligned(t *testing.T) {
	baseline := &row{transport: "unix", codec: "protobuf", method: "Greeter.Greet", took: []time.Duration{200 * time.Microsecond}}
	fast := &row{transport: "shm", codec: "msgpack", method: "Calculator.Add", took: []time.Duration{9500 * time.Nanosecond}}
	var out bytes.Buffer
	printTable(&out, baseline, []*row{fast})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want a heading and two rows:\n%s", len(lines), &out)
	}
	for _, l := range lines {
		if utf8.RuneCountInString(l) != utf8.RuneCountInString(lines[0]) {
			t.Errorf("lines of different length:\n%s", &out)
		}
	}
	if !strings.HasSuffix(lines[1], "1.00") || !strings.HasSuffix(lines[2], "0.05") {
		t.Errorf("want the ratios 1.00 and 0.05:\n%s", &out)
	}
}
