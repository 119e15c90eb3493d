//go:build linux

// Package model_test runs the exploration of the lead in package interleave, which has to be
// compiled in a way of its own.
package model_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/exploretest"
	"github.com/carp-rpc/carp-go/internal/explore/overlay"

	// The results of this test depend on them, and may be cached as long as these
	// don't change.
	_ "github.com/carp-rpc/carp-go/internal/direct"
	_ "github.com/carp-rpc/carp-go/internal/explore"
	_ "github.com/carp-rpc/carp-go/internal/explore/atomic"
	_ "github.com/carp-rpc/carp-go/internal/explore/sync"
	_ "github.com/carp-rpc/carp-go/internal/shm"
)

const (
	directDir = ".."
	shmDir    = "../../shm"
)

// explored are the files under control.
var explored = map[string][]string{
	shmDir: {"ring.go", "wait.go", "words_unsafe.go", "futex_linux_unsafe.go"},
	directDir: {
		"conn.go", "lead.go", "worker.go", "watchdog.go", "read.go", "receive.go", "serve.go",
		"stream.go", "table.go", "limit.go", "flow.go", "write.go",
	},
}

// stands are the edits that replace what can't be explored: time, and what takes steps
// where the real thing may not.
var stands = map[string][]overlay.Edit{
	"conn.go": {
		{Old: "\tgo c.attend()\n", New: ""},
		{Old: "\twaiting  atomic.Int32", New: "\twaiting atomic.Int64"}, // counts for who spins
		{Old: "\tbrief    atomic.Int32", New: "\tbrief atomic.Int64"},   // the same
		{Old: "end    sync.Once ", New: "end once "},
		{Old: "\t\"sync\"\n", New: ""},
	},
	"lead.go": {
		{Old: "!l.spin.Spin(l.some)", New: "!modelSpin(l.some)"},
		{Old: "time.Sleep(20 * time.Microsecond)", New: "c.lead.unheld()"},
		// Who else may read.
		{Old: "\thit       bool ", New: "\treads bool\n\thit       bool "},
		{Old: "l.rx.Announce()\n\tn, err := l.rx.Len(1)\n", New: "l.enter()\n\tl.rx.Announce()\n\tn, err := l.rx.Len(1)\n\tl.leave()\n"},
	},
	"read.go": {
		{Old: "\trx := c.lead.rx\n\tfor n < most", New: "\tc.lead.enter()\n\tdefer c.lead.leave()\n\trx := c.lead.rx\n\tfor n < most"},
	},
	"serve.go": {
		{Old: "s.method.pace.took(time.Since(start))", New: "s.method.pace.took(0)"},
		{Old: "took := time.Since(start)", New: "took := time.Duration(0)"},
		{Old: "start := time.Now()\n\t\tc.serve(s)", New: "c.serve(s)"},
		{Old: "start := time.Now()\n\treturned := false", New: "returned := false"},
		{Old: "const maxIdleRunners = 64", New: "const maxIdleRunners = 0"},
	},
	"stream.go": {
		// A channel of an earlier run would make a run differ.
		{Old: "*w = wakers.Get().(chan struct{})", New: "*w = make(chan struct{}, 1)"},
	},
	"watchdog.go": {
		{Old: "\t\tgo d.run()\n", New: ""},
	},
}

// code is the lead and all that uses it.
var code = exploretest.Code{
	Files: explored,
	Edits: stands,
	Added: map[string]string{
		directDir + "/zz_model.go": "interleave/direct.go.txt",
		shmDir + "/zz_model.go":    "interleave/shm.go.txt",
	},
}

// TestEveryOrder: whatever the order of steps, nobody waits for ever, each frame is read, and
// one party reads at a time.
func TestEveryOrder(t *testing.T) { code.EveryOrder(t) }
