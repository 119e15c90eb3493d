//go:build linux

package model_test

import (
	"strings"
	"testing"

	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// mutations take one rule of the protocol out of the code. Each has scenarios that
// find out. One whose old text is gone has to be brought up to date with the code: it
// says what the rule is.
var mutations = []struct {
	name     string
	file     string
	edits    []overlay.Edit
	scenario string
}{
	{
		"the sleeper does not look again after its announcement", "conn.go",
		[]overlay.Edit{{Old: "if !h.ready() && c.usable(h) == nil {", New: "if c.usable(h) == nil {"}},
		"TestReaderWaits",
	}, {
		"a half that was roused on its way to the door takes hold of it", "door.go",
		[]overlay.Edit{{Old: "case <-h.wake: //", New: "case <-(chan struct{})(nil): //"}},
		"TestDeadlineEndsRead",
	}, {
		"the holder of the door does not look after the other half's announcement", "door.go",
		[]overlay.Edit{{Old: " && (d.other == nil || d.other.ring.Announced())", New: ""}},
		"TestBothHalvesWait",
	}, {
		"the other half registers though its announcement was taken", "door.go",
		[]overlay.Edit{{Old: "listen := h.ring.Announced()", New: "listen := true"}},
		"TestBothHalvesWait",
	}, {
		"the holder does not wake the other half when it leaves", "door.go",
		[]overlay.Edit{{Old: "other := d.leave(); other != nil", New: "other := d.leave(); false && other != nil"}},
		"TestBothHalvesWait",
	}, {
		"Wait does not ask whether the announcement was taken before it listened", "doorbell_linux.go",
		[]overlay.Edit{{Old: "return s.ended(fd) || !d.asleep()", New: "return s.ended(fd)"}},
		"TestReaderWaits",
	}, {
		"Wait does not ask whether the socket ended before it listened", "doorbell_linux.go",
		[]overlay.Edit{{Old: "return s.ended(fd) || !d.asleep()", New: "return !d.asleep()"}},
		"TestPeerIsKilled",
	}, {
		"the waker looks for a sleeper before it publishes", "write.go",
		[]overlay.Edit{
			{Old: "m, err := tx.Write(", New: "bell := tx.NeedWake()\nm, err := tx.Write("},
			{Old: "n += m\n\t\tif tx.NeedWake() {", New: "n += m\n\t\tif bell {"},
		},
		"TestReaderWaits",
	}, {
		"the reader does not wake the writer", "ring.go",
		[]overlay.Edit{{Old: "return takeWait(c.w.wwait)", New: "return false"}},
		"TestWriterWaits",
	}, {
		"CloseWrite does not wake the reader", "write.go",
		[]overlay.Edit{{Old: "tx.CloseWrite()\n\tif tx.NeedWake() {", New: "tx.CloseWrite()\n\tif false {"}},
		"TestPeerClosesWrite",
	}, {
		"the reader looks at the ring before it looks for its end", "session.go",
		[]overlay.Edit{
			{Old: "gone, ended := s.gone.Load(), s.rx.Ended()", New: "n, err := s.rx.Len(want)"},
			{Old: "n, err := s.rx.Len(want)\n\tswitch", New: "gone, ended := s.gone.Load(), s.rx.Ended()\n\tswitch"},
		},
		"TestPeerCloses",
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
			if !strings.Contains(out, ": nobody can go on") && !strings.Contains(out, " panicked: ") && !strings.Contains(out, "no end after") {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
		})
	}
}
