//go:build linux

package model_test

import (
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// mutations take one rule of the lead out of the code. Each has a scenario that finds out.
// One whose old text is gone has to be brought up to date with the code: it says what the
// rule is.
var mutations = []struct {
	name     string
	file     string
	edits    []overlay.Edit
	scenario string
}{
	{
		"who gives the lead up does not look again after the announcement", "lead.go",
		[]overlay.Edit{{Old: "if n == 0 && err == nil && l.state", New: "if n >= 0 && err == nil && l.state"}},
		"TestCaller",
	}, {
		"who gives the lead up does not announce it", "lead.go",
		[]overlay.Edit{{Old: "\tl.rx.Announce()\n", New: ""}},
		"TestCaller",
	}, {
		"who gives the lead up does not notice that the doorbell rang", "lead.go",
		[]overlay.Edit{{
			Old: "err == nil && l.state.CompareAndSwap(leadHeld, leadFree) {\n",
			New: "err == nil {\n\t\tl.state.Store(leadFree)\n",
		}},
		"TestCaller",
	}, {
		"the doorbell does not tell the holder", "lead.go",
		[]overlay.Edit{{Old: "if l.state.CompareAndSwap(leadHeld, leadNotified) {", New: "if true {"}},
		"TestCaller",
	}, {
		"a leader that panics keeps the lead", "conn.go",
		[]overlay.Edit{
			{Old: "\tdefer func() {\n\t\tif hit && ", New: "\tpanics := true\n\tdefer func() {\n\t\tif panics {\n\t\t\treturn\n\t\t}\n\t\tif hit && "},
			{Old: "\treturn c.leadFor(ctx, wake)\n", New: "\thit = c.leadFor(ctx, wake)\n\tpanics = false\n\treturn hit\n"},
		},
		"TestLeaderPanics",
	}, {
		"the end of the connection does not wait for who reads", "conn.go",
		[]overlay.Edit{{Old: "\tc.seizeLead()\n", New: ""}},
		"TestPeerEnds|TestClose",
	}, {
		"a worker reads on after a handler without asking for the lead", "lead.go",
		[]overlay.Edit{{
			Old: "{ return l.state.CompareAndSwap(leadBusy, leadHeld) }",
			New: "{ l.state.Store(leadHeld); return true }",
		}},
		"TestCallerTakesOver|TestHandlerBlocks",
	}, {
		"a worker does not lend the lead", "lead.go",
		[]overlay.Edit{{Old: "\tl.state.Store(leadBusy)\n", New: ""}},
		"TestHandlerBlocks",
	}, {
		"nobody takes the lead from a handler that blocks", "watchdog.go",
		[]overlay.Edit{{Old: "if c.lead.state.CompareAndSwap(leadBusy, leadHeld) {", New: "if false {"}},
		"TestHandlerBlocks",
	}, {
		"who takes the lead from a handler that blocks does not have anybody read", "watchdog.go",
		[]overlay.Edit{{Old: "\t\tc.callWorker()\n", New: ""}},
		"TestHandlerBlocks",
	}, {
		"the lead goes with a handler that exits", "serve.go",
		[]overlay.Edit{{Old: "\t\t\tc.callWorker() // ", New: "\t\t\t// "}},
		"TestHandlerExits",
	},
}

// TestEachRuleIsNeeded: a proof that can't fail proves nothing.
func TestEachRuleIsNeeded(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, m.scenario, map[string][]overlay.Edit{m.file: m.edits})
			if err == nil {
				t.Fatalf("nothing found:\n%s", out)
			}
			if !strings.Contains(out, ": nobody can go on") && !strings.Contains(out, "two parties read") && !strings.Contains(out, "no end after") {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
		})
	}
}
