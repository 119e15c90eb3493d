package host

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
)

const (
	// bodyFactor and bodySlack are what a body may make a host allocate: so many times
	// its size, and so much besides for the call itself, for an error, and for what
	// small bodies are always allowed.
	bodyFactor = 64
	bodySlack  = 512<<10 + raceSlack
	// maxBody is the largest message that is taken by default.
	maxBody = 4 << 20
)

// FuzzBodies sends bodies to functions of all kinds, and returns them as the results of
// functions that are required. None makes the host panic, end or allocate more than it may.
// A body is head, times piece, and tail: so the fuzzer, whose own inputs are small, gets to
// large ones.
func FuzzBodies(f *testing.F) {
	v := newVictim(f)
	for codec, all := range hostile {
		for i, b := range all {
			f.Add(uint8(codec), uint8(i), []byte(b.head), []byte(b.piece), uint16(max(b.times, 100)), []byte(b.tail))
		}
	}
	f.Fuzz(func(t *testing.T, codec, which uint8, head, piece []byte, times uint16, tail []byte) {
		body := build(head, piece, int(times), tail, maxBody)
		name := bodyCodecs[int(codec)%len(bodyCodecs)]
		all := len(v.served) + len(v.required[name])
		v.bounded(t, name, int(which)%all, body)
	})
}

// TestBoundedBodies sends bodies that are built to do harm, each to some of the functions;
// with CARP_SOAK=1 as large as they may be, to fewer, for one may take a second.
func TestBoundedBodies(t *testing.T) {
	size, share := 24<<10, 8
	if os.Getenv("CARP_SOAK") != "" {
		size, share = maxBody, 96
	}
	v := newVictim(t)
	n := 0
	for i, codec := range bodyCodecs {
		for _, b := range hostile[i] {
			times := size
			if b.times > 0 {
				times = b.times
			}
			body := build([]byte(b.head), []byte(b.piece), times, []byte(b.tail), size)
			for which := range len(v.served) + len(v.required[codec]) {
				if n++; n%share == 0 {
					v.bounded(t, codec, which, body)
				}
			}
		}
	}
}

// build makes a body of no more than size bytes.
func build(head, piece []byte, times int, tail []byte, size int) []byte {
	if room := size - len(head) - len(tail); room < 0 {
		head, piece, tail = head[:min(len(head), size)], nil, nil
	} else if len(piece) > 0 {
		times = min(times, room/len(piece))
	}
	return append(append(bytes.Clone(head), bytes.Repeat(piece, times)...), tail...)
}

// bounded makes one call with the body: of a function that is served, or of one that is
// required.
func (v *victim) bounded(t *testing.T, codec string, which int, body []byte) {
	t.Helper()
	call, what := v.call(codec, which, body)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := call() // whether it is taken is not the question
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(bodyFactor*len(body)+bodySlack) {
		t.Errorf("%s, %s: %d bytes take %d of memory, %d times as many: %.40q", codec, what, len(body), got, got/uint64(max(len(body), 1)), body)
	}
	if p := v.panicked.Swap(nil); p != nil {
		t.Errorf("%s, %s, %.40q: a panic: %v\n%s", codec, what, body, p.Value, p.Stack)
	}
	if err != nil && len(err.Error()) > 16<<10 {
		t.Errorf("%s, %s, %.40q: the error has %d bytes", codec, what, body, len(err.Error()))
	}
}

func (v *victim) call(codec string, which int, body []byte) (call func() error, what string) {
	if which >= len(v.served) {
		v.reply = body
		return v.required[codec][which-len(v.served)], "a result"
	}
	path := v.served[which]
	return func() error {
		_, err := v.h.serveLocal(context.Background(), &request{path: path, codec: codec, body: body})
		return err
	}, "arguments of " + path
}

// hostileBody is what [build] makes a body of. With times 0, there are as many pieces as
// there is room for.
type hostileBody struct {
	head, piece, tail string
	times             int
}

// hostile are bodies that are built to do harm, by codec as in bodyCodecs.
var hostile = [][]hostileBody{hostileMsgpack, hostileJSON, hostileCarp, hostileProto}

// inArgs are bodies with one argument that is a list, arguments that are such lists, and
// so many arguments.
func inArgs(piece string) []hostileBody {
	return []hostileBody{
		{head: "\x91\xdd\x00\x00\x40\x00", piece: piece, times: 1 << 14},
		{head: "\x91\xdd\x00\x20\x00\x00", piece: piece, times: 1 << 21}, // the largest bodies
		{head: "\xdc\x10\x00", piece: piece, times: 4096},                // the most there may be
		{head: "\xdc\x08\x00", piece: "\x98" + strings.Repeat(piece, 8), times: 2048},
		{head: "\xdc\x02\x00", piece: "\xdc\x00\x20" + strings.Repeat(piece, 32), times: 512},
	}
}

var hostileMsgpack = func() []hostileBody {
	all := []hostileBody{
		{head: "\xdd\xff\xff\xff\xff"}, {head: "\x91\xdd\xff\xff\xff\xff"}, {head: "\xdf\xff\xff\xff\xff"},
		{head: "\xdb\xff\xff\xff\xff"}, {head: "\xc6\xff\xff\xff\xff"}, {head: "\xc9\xff\xff\xff\xff\x04"},
		{head: "\xde\xff\xff", piece: "\x01\xc0"}, {head: "\x91\xdb\x00\x00\x40\x00", piece: "a", times: 1 << 14}, {head: "\xdc\xff\xff", piece: "\xc0", times: 1<<16 - 1},
		{piece: "\x91", tail: "\xc0"}, {piece: "\x81\xa0", tail: "\xc0"}, {head: "\x91", piece: "\x81\xa4Left", tail: "\xc0"},
		{head: "\x91", piece: "\xc7\xff\x04\xa1n", tail: "\xc0"}, {piece: "\xdd"}, {piece: "\xc1"},
		{head: "\x82\xa1*", piece: "\xa1*\x90"}, {head: "\xdf\x00\x01\x00\x00", piece: "\xa1a\x01"},
		{head: "\x91\xdb\x00\x00\x40\x00", piece: "\xff", times: 1 << 14},
		{head: "\x98", piece: "\xdc\x04\x00" + strings.Repeat("\x80", 1024), times: 8}, // the eight lists of many
	}
	for _, piece := range []string{
		"\xc0", "\x90", "\x80", "\xa0", "\xc4\x00", "\x00", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\x81\xa0\x80", "\x81\xa0\x90",
		"\xc7\x05\x03\x93\xa0\xa1i\xa0", "\xc7\x03\x04\xa1n\xc0", "\xd6\xff\x00\x00\x00\x00", "\x81\xa2Of\x90", "\xd4\x05\x00",
	} {
		all = append(all, inArgs(piece)...)
	}
	return all
}()

var hostileJSON = func() []hostileBody {
	all := []hostileBody{
		{piece: "["}, {piece: `{"":`}, {piece: `[{"Left":`}, {head: "[", piece: "9"}, {head: "[0.", piece: "9", tail: "]"},
		{head: "[1e", piece: "9", tail: "]"}, {head: `["`, piece: `\u0041`, tail: `"]`}, {head: `["`, piece: `\ud800`, tail: `"]`},
		{head: `[{"$bytes":"`, piece: "AAAA", tail: `"]`}, {head: `{"*":[`, piece: "0,", tail: "0]}"}, {piece: " "}, {piece: "\x00"},
	}
	for _, piece := range []string{
		`0`, `null`, `[]`, `{}`, `""`, `{"":0}`, `{"":{}}`, `{"$map":[[1,2]]}`, `{"$bytes":""}`, `{"$type":"x","$value":0}`, `[[],[]]`, `[{},{},{},{}]`,
	} {
		all = append(all, hostileBody{head: "[" + piece, piece: "," + piece, tail: "]"}, hostileBody{head: "[[" + piece, piece: "," + piece, tail: "]]"})
	}
	return all
}()

var hostileCarp = func() []hostileBody {
	all := []hostileBody{
		{head: "\x0a\xff\xff\xff\xff\x07"}, {piece: "\x0a\x0a"}, {piece: "\x12\x00"}, {head: "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"},
	}
	for _, piece := range []string{"\x0a\x02\x0a\x00", "\x0a\x02\x42\x00", "\x0a\x02\x4a\x00", "\x0a\x00", "\x0a\x06\x42\x04\x0a\x02\x4a\x00"} {
		all = append(all, hostileBody{piece: piece})
	}
	return all
}()

var hostileProto = func() []hostileBody {
	all := []hostileBody{{head: "\x0a\xff\xff\xff\xff\x07"}, {piece: "\xff"}, {piece: "\x0b"}, {piece: "\x0a\x80"}}
	for _, field := range []string{"\x0a", "\x12", "\x1a", "\x42"} {
		all = append(all, hostileBody{piece: field + "\x00"}, hostileBody{piece: field + "\x02\x0a\x00"},
			hostileBody{piece: field + "\x04\x0a\x02\x0a\x00"}, hostileBody{piece: field + "\x00\x0a\x00"})
	}
	return append(all, hostileBody{piece: "\x08\x01"}, hostileBody{piece: "\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x3a\x00\x42\x00"})
}()
