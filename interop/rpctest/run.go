package rpctest

import (
	"path"
	"regexp"
	"testing"
	"time"
)

// Options says where a stack may differ from the reference. The zero value
// allows nothing. [NotHTTP2] is where a stack with a wire of its own starts.
type Options struct {
	// Differences are the written exceptions. One that no case needs fails
	// the run, so that the list stays true, unless only some of the cases
	// were run.
	Differences []Difference

	// Skip names cases that the stack can't run at all, with the reason:
	// keys are patterns of path.Match on the names of cases.
	Skip map[string]string

	// Only restricts the run to the cases that match one of these patterns
	// of path.Match. Empty means all.
	Only []string

	// Limit is how long a case may take on one stack. Zero means a minute.
	Limit time.Duration
}

// A Difference is an exception from the rule that a stack shows exactly what
// the reference shows: in the named cases, what Match matches in a line is
// replaced on both sides before the comparison.
type Difference struct {
	// Cases is a pattern of path.Match on the names of cases.
	Cases string

	// Lane restricts the difference to one party's observations. Empty
	// means all.
	Lane string

	// Match is what differs. It is replaced by Replace, which may refer to
	// groups as in regexp.Regexp.ReplaceAllString.
	Match   *regexp.Regexp
	Replace string

	// Reason tells why the difference is right.
	Reason string

	// Sometimes says that the difference does not always show.
	Sometimes bool
}

// Run runs every case on the reference and on the stack, and fails t where
// they differ. What the reference shows in a case is looked at once per
// process, however many stacks are compared with it.
func Run(t *testing.T, s Stack, opts Options) {
	t.Helper()
	ref := Reference()
	if crashHere(t, ref, s) {
		return
	}
	if opts.Limit == 0 {
		opts.Limit = time.Minute
	}
	used := make([]bool, len(opts.Differences))
	ran, total := 0, 0
	pattern := runPattern(t.Name())
	for _, c := range cases() {
		total++
		if !selected(opts.Only, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			ran++
			if why := skipped(opts.Skip, c.name); why != "" {
				t.Skipf("%s: %s", s.Name, why)
			}
			want := shown.by(t, ref, c, pattern, opts.Limit)
			got := observe(t, s, c, pattern, opts.Limit)
			if testing.Verbose() {
				t.Logf("%s\n%s", c.rule, want)
			}
			report(t, c, ref, s, want, got, opts.Differences, used)
		})
	}
	if ran < total {
		return // what the others need can't be judged
	}
	for i, d := range opts.Differences {
		if !used[i] && !d.Sometimes {
			t.Errorf("no case needs the difference allowed to %s in %q (%s): take it off the list", s.Name, d.Cases, d.Reason)
		}
	}
}

// report compares what a case showed on the two stacks.
func report(t *testing.T, c testCase, ref, s Stack, want, got observations, allowed []Difference, used []bool) {
	t.Helper()
	if lines := want[harnessLane]; len(lines) > 0 {
		t.Errorf("%s is no reference here: %q\nall it showed:\n%s", ref.Name, lines, want)
		return
	}
	if d := want.diff(got); d == "" {
		return
	}
	lenientWant, lenientGot := want, got
	for i, d := range allowed {
		if ok, _ := path.Match(d.Cases, c.name); !ok {
			continue
		}
		w, g := d.apply(lenientWant), d.apply(lenientGot)
		if lenientWant.diff(lenientGot) != w.diff(g) {
			used[i] = true
		}
		lenientWant, lenientGot = w, g
	}
	if d := lenientWant.diff(lenientGot); d != "" {
		t.Errorf("%s\ndiffers: - %s, + %s\n%s", c.rule, ref.Name, s.Name, d)
	}
}

func selected(only []string, name string) bool {
	for _, pattern := range only {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return len(only) == 0
}

func skipped(skip map[string]string, name string) string {
	for pattern, why := range skip {
		if ok, _ := path.Match(pattern, name); ok {
			return why
		}
	}
	return ""
}
