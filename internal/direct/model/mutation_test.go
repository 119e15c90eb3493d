//go:build linux

package model_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/exploretest"
	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// mutations take one rule of the lead out of the code. Each has a scenario that finds out.
var mutations = []exploretest.Mutation{
	{
		Name: "who gives the lead up does not look again after the announcement", File: "lead.go",
		Edits:    []overlay.Edit{{Old: "if n == 0 && err == nil && l.state", New: "if n >= 0 && err == nil && l.state"}},
		Scenario: "TestCaller",
	}, {
		Name: "who gives the lead up does not announce it", File: "lead.go",
		Edits:    []overlay.Edit{{Old: "\tl.rx.Announce()\n", New: ""}},
		Scenario: "TestCaller",
	}, {
		Name: "who gives the lead up does not notice that the doorbell rang", File: "lead.go",
		Edits: []overlay.Edit{{
			Old: "err == nil && l.state.CompareAndSwap(leadHeld, leadFree) {\n",
			New: "err == nil {\n\t\tl.state.Store(leadFree)\n",
		}},
		Scenario: "TestCaller",
	}, {
		Name: "the doorbell does not tell the holder", File: "lead.go",
		Edits:    []overlay.Edit{{Old: "if l.state.CompareAndSwap(leadHeld, leadNotified) {", New: "if true {"}},
		Scenario: "TestCaller",
	}, {
		Name: "a leader that panics keeps the lead", File: "conn.go",
		Edits: []overlay.Edit{
			{Old: "\tdefer func() {\n\t\tif hit && ", New: "\tpanics := true\n\tdefer func() {\n\t\tif panics {\n\t\t\treturn\n\t\t}\n\t\tif hit && "},
			{Old: "\treturn c.leadFor(ctx, wake)\n", New: "\thit = c.leadFor(ctx, wake)\n\tpanics = false\n\treturn hit\n"},
		},
		Scenario: "TestLeaderPanics",
	}, {
		Name: "the end of the connection does not wait for who reads", File: "conn.go",
		Edits:    []overlay.Edit{{Old: "\tc.seizeLead()\n", New: ""}},
		Scenario: "TestPeerEnds|TestClose",
	}, {
		Name: "a worker reads on after a handler without asking for the lead", File: "lead.go",
		Edits: []overlay.Edit{{
			Old: "{ return l.state.CompareAndSwap(leadBusy, leadHeld) }",
			New: "{ l.state.Store(leadHeld); return true }",
		}},
		Scenario: "TestCallerTakesOver|TestHandlerBlocks",
	}, {
		Name: "a worker does not lend the lead", File: "lead.go",
		Edits:    []overlay.Edit{{Old: "\tl.state.Store(leadBusy)\n", New: ""}},
		Scenario: "TestHandlerBlocks",
	}, {
		Name: "nobody takes the lead from a handler that blocks", File: "watchdog.go",
		Edits:    []overlay.Edit{{Old: "if c.lead.state.CompareAndSwap(leadBusy, leadHeld) {", New: "if false {"}},
		Scenario: "TestHandlerBlocks",
	}, {
		Name: "who takes the lead from a handler that blocks does not have anybody read", File: "watchdog.go",
		Edits:    []overlay.Edit{{Old: "\t\tc.callWorker()\n", New: ""}},
		Scenario: "TestHandlerBlocks|TestHandlerIsCanceled",
	}, {
		Name: "the lead goes with a handler that exits", File: "serve.go",
		Edits:    []overlay.Edit{{Old: "\t\t\tc.callWorker() // ", New: "\t\t\t// "}},
		Scenario: "TestHandlerExits",
	},
}

// TestEachRuleIsNeeded: a proof that can't fail proves nothing.
func TestEachRuleIsNeeded(t *testing.T) {
	code.EachRuleIsNeeded(t, mutations, ": nobody can go on", "two parties read", "no end after")
}
