package rpctest

import (
	"sync"
	"testing"
	"time"
)

// shown is what the reference has shown in this process.
var shown referenceRecords

// referenceRecords keeps the observations of the reference, case by case. They
// depend on nothing but the case: that the reference agrees with itself, run
// after run, is tested.
type referenceRecords struct {
	mu     sync.Mutex
	byCase map[string]observations
}

// by returns what the reference shows in a case, from memory if it can. Nobody
// may change it.
func (r *referenceRecords) by(tb testing.TB, ref Stack, c testCase, runPattern string, limit time.Duration) observations {
	tb.Helper()
	r.mu.Lock()
	known, ok := r.byCase[c.name]
	r.mu.Unlock()
	if ok {
		return known
	}
	o := observe(tb, ref, c, runPattern, limit)
	if len(o[harnessLane]) > 0 {
		return o // a failure, perhaps of a busy machine: not worth keeping
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byCase == nil {
		r.byCase = map[string]observations{}
	}
	r.byCase[c.name] = o
	return o
}
