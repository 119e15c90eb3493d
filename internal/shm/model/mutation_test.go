//go:build linux

package model_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/exploretest"
	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// mutations take one rule of the protocol out of the code. Each has scenarios that
// find out.
var mutations = []exploretest.Mutation{
	{
		Name: "the sleeper does not look again after its announcement", File: "conn.go",
		Edits:    []overlay.Edit{{Old: "if !h.ready() && c.usable(h) == nil {", New: "if c.usable(h) == nil {"}},
		Scenario: "TestReaderWaits",
	}, {
		Name: "a half that was roused on its way to the door takes hold of it", File: "door.go",
		Edits:    []overlay.Edit{{Old: "case <-h.wake: //", New: "case <-(chan struct{})(nil): //"}},
		Scenario: "TestDeadlineEndsRead",
	}, {
		Name: "the holder of the door does not look after the other half's announcement", File: "door.go",
		Edits:    []overlay.Edit{{Old: " && (d.other == nil || d.other.ring.Announced())", New: ""}},
		Scenario: "TestBothHalvesWait",
	}, {
		Name: "the other half registers though its announcement was taken", File: "door.go",
		Edits:    []overlay.Edit{{Old: "listen := h.ring.Announced()", New: "listen := true"}},
		Scenario: "TestBothHalvesWait",
	}, {
		Name: "the holder does not wake the other half when it leaves", File: "door.go",
		Edits:    []overlay.Edit{{Old: "other := d.leave(); other != nil", New: "other := d.leave(); false && other != nil"}},
		Scenario: "TestBothHalvesWait",
	}, {
		Name: "Wait does not ask whether the announcement was taken before it listened", File: "doorbell_linux.go",
		Edits:    []overlay.Edit{{Old: "return s.ended(fd) || !d.asleep()", New: "return s.ended(fd)"}},
		Scenario: "TestReaderWaits",
	}, {
		Name: "Wait does not ask whether the socket ended before it listened", File: "doorbell_linux.go",
		Edits:    []overlay.Edit{{Old: "return s.ended(fd) || !d.asleep()", New: "return !d.asleep()"}},
		Scenario: "TestPeerIsKilled",
	}, {
		Name: "the waker looks for a sleeper before it publishes", File: "write.go",
		Edits: []overlay.Edit{
			{Old: "m, err := tx.Write(", New: "bell := tx.NeedWake()\nm, err := tx.Write("},
			{Old: "n += m\n\t\tif tx.NeedWake() {", New: "n += m\n\t\tif bell {"},
		},
		Scenario: "TestReaderWaits",
	}, {
		Name: "the reader does not wake the writer", File: "ring.go",
		Edits:    []overlay.Edit{{Old: "return takeWait(c.w.wwait)", New: "return false"}},
		Scenario: "TestWriterWaits",
	}, {
		Name: "CloseWrite does not wake the reader", File: "write.go",
		Edits:    []overlay.Edit{{Old: "tx.CloseWrite()\n\tif tx.NeedWake() {", New: "tx.CloseWrite()\n\tif false {"}},
		Scenario: "TestPeerClosesWrite",
	}, {
		Name: "the reader looks at the ring before it looks for its end", File: "session.go",
		Edits: []overlay.Edit{
			{Old: "gone, ended := s.gone.Load(), s.rx.Ended()", New: "n, err := s.rx.Len(want)"},
			{Old: "n, err := s.rx.Len(want)\n\tswitch", New: "gone, ended := s.gone.Load(), s.rx.Ended()\n\tswitch"},
		},
		Scenario: "TestPeerCloses",
	},
}

// TestEachRuleIsNeeded: a proof that can't fail proves nothing.
func TestEachRuleIsNeeded(t *testing.T) {
	code.EachRuleIsNeeded(t, mutations, ": nobody can go on", " panicked: ", "no end after")
}
