package rpctest

import (
	"slices"
	"testing"
	"time"
)

// Differs compares a stack with the reference in one case, and returns how
// they differ, or nothing.
func Differs(t *testing.T, s Stack, name string, limit time.Duration) string {
	t.Helper()
	ref := Reference()
	if crashHere(t, ref, s) {
		return "in a child process"
	}
	all := cases()
	i := slices.IndexFunc(all, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no case %q", name)
	}
	pattern := runPattern(t.Name())
	want := shown.by(t, ref, all[i], pattern, time.Minute)
	if len(want[harnessLane]) > 0 {
		t.Fatalf("the reference does not show %q:\n%s", name, want)
	}
	return want.diff(observe(t, s, all[i], pattern, limit))
}

// Names returns the names and the rules of all cases.
func Names() (names, rules []string) {
	for _, c := range cases() {
		names, rules = append(names, c.name), append(rules, c.rule)
	}
	return names, rules
}
