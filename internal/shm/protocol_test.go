package shm

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// table is the rows of the table of PROTOCOL.md that has the heading in its first row.
func table(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "| "+heading+" |"):
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|-"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("PROTOCOL.md has no table %q", heading)
	}
	return rows
}

// number reads a number of a table.
func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// places are offset and size by the first word of what lies there.
func places(t *testing.T, heading string) map[string][2]int {
	t.Helper()
	all := map[string][2]int{}
	for _, row := range table(t, heading) {
		if size := row[1]; !strings.Contains(row[0]+size, "capacity") {
			name, _, _ := strings.Cut(row[2], ":")
			all[name] = [2]int{number(t, row[0]), number(t, size)}
		}
	}
	return all
}

func TestProtocolSegment(t *testing.T) {
	want := map[string][2]int{
		"magic": {offMagic, 8}, "version": {offVersion, 4}, "nonce": {offNonce, 8},
		"capacity of ring 0": {offCapacity, 8}, "capacity of ring 1": {offCapacity + 8, 8},
		"words of ring 0": {offRing0, ringWords}, "words of ring 1": {offRing0 + ringWords, ringWords},
	}
	got := places(t, "offset | size | segment | written by | read by")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the text has %v, the code %v", got, want)
	}
	if last := table(t, "offset | size | segment | written by | read by")[7]; number(t, last[0]) != offData {
		t.Errorf("the bytes begin at %s in the text, at %#x in the code", last[0], offData)
	}
	text, _ := os.ReadFile("PROTOCOL.md")
	for _, s := range []string{
		fmt.Sprintf("magic: 0x%016x", magic),
		fmt.Sprintf("a power of two from %d to %d bytes", MinRing, MaxRing),
		fmt.Sprintf("version %d\n", Version),
	} {
		if !strings.Contains(string(text), s) {
			t.Errorf("PROTOCOL.md lacks %q", s)
		}
	}
}

func TestProtocolWords(t *testing.T) {
	want := map[string][2]int{
		"tail": {offTail, 8}, "fin": {offFin, 4}, "base": {offBase, 8},
		"head": {offHead, 8}, "rst": {offRst, 4}, "rwait": {offRwait, 4}, "wwait": {offWwait, 4},
	}
	const heading = "offset | size | word | written by | read by"
	if got := places(t, heading); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the text has %v, the code %v", got, want)
	}
	// Words of different writers share no pair of cache lines, and each is aligned.
	const pair = 128
	writer := map[int]string{}
	for _, row := range table(t, heading) {
		offset, size := number(t, row[0]), number(t, row[1])
		if offset%size != 0 || offset+size > ringWords {
			t.Errorf("%s: %d bytes at %#x", row[2], size, offset)
		}
		if w, ok := writer[offset/pair]; ok && w != row[3] {
			t.Errorf("%s: written by %s, among words written by %s", row[2], row[3], w)
		}
		writer[offset/pair] = row[3]
	}
	if offRing0%pair != 0 || ringWords%pair != 0 || offData < offRing0+2*ringWords {
		t.Error("the rings' words are not apart")
	}
}

func TestProtocolHeader(t *testing.T) {
	got := places(t, "offset | size | header")
	f := frame(kindAck, ack{ok: true})
	if string(f[:8]) != wireMagic || len(wireMagic) != got["the bytes `carp-shm`"][1] {
		t.Errorf("a message begins with %q", f[:8])
	}
	if kind(f[got["kind"][0]]) != kindAck || f[got["zero"][0]] != 0 {
		t.Errorf("kind and zero are not where the text has them: % x", f)
	}
	if v := binary.LittleEndian.Uint16(f[got["highest version that the sender speaks"][0]:]); v != Version {
		t.Errorf("version %d", v)
	}
	at := got[fmt.Sprintf("length of the body, at most %d", maxBody)]
	if n := binary.LittleEndian.Uint32(f[at[0]:]); int(n) != len(f)-wireHeader || at[0]+at[1] != wireHeader {
		t.Errorf("length %d of a body of %d bytes", n, len(f)-wireHeader)
	}
}

func TestProtocolKindsAndWaits(t *testing.T) {
	kinds := map[string]kind{"hello": kindHello, "offer": kindOffer, "ack": kindAck, "refuse": kindRefuse}
	for _, row := range table(t, "kind | message | sent by | body") {
		if got, ok := kinds[row[1]]; !ok || int(got) != number(t, row[0]) {
			t.Errorf("%s is kind %d in the code, %s in the text", row[1], got, row[0])
		}
		delete(kinds, row[1])
	}
	if len(kinds) > 0 {
		t.Errorf("the text lacks %v", kinds)
	}
	waits := map[string]int{"awake": awake, "parked": parked, "napping": napping}
	for _, row := range table(t, "value | wait word") {
		name, _, _ := strings.Cut(row[1], ":")
		if got, ok := waits[name]; !ok || got != number(t, row[0]) {
			t.Errorf("%s is %d in the code, %s in the text", name, got, row[0])
		}
		delete(waits, name)
	}
	if len(waits) > 0 {
		t.Errorf("the text lacks %v", waits)
	}
}

// The bytes of one message of each kind, as the text has them.
func TestProtocolBodies(t *testing.T) {
	for _, c := range []struct {
		body interface{ append([]byte) []byte }
		want string
	}{
		{
			hello{
				minVersion: 1, maxVersion: 2, backings: Of(MemFD, SysV),
				rings: [2]ringWish{{0x1000, 0x2000}, {0x3000, 0x4000}}, protos: []string{"a", "bc"},
			},
			"0100 0200 06000000 00100000 00200000 00300000 00400000 02 0100 61 0200 6263",
		},
		{
			offer{version: 1, backing: SysV, caps: capacities{0x1000, 0x2000}, id: 7, proto: "a", nonce: 0x0102, why: "b"},
			"0100 0200 00100000 00200000 07000000 0100 61 0201000000000000 0100 62",
		},
		{ack{ok: true}, "01 0000"},
		{ack{reason: "no"}, "00 0200 6e6f"},
		{refusal{"no"}, "0200 6e6f"},
	} {
		if got := fmt.Sprintf("%x", c.body.append(nil)); got != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%+v is %s, want %s", c.body, got, c.want)
		}
	}
}
