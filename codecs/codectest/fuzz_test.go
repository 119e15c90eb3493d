package codectest_test

import (
	"bytes"
	"testing"

	"github.com/carp-rpc/carp-go/codecs/carp"
	"github.com/carp-rpc/carp-go/codecs/codectest"
	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
)

// whole returns about size bytes: head, pieces, tail.
func whole(head, piece, tail string) []byte {
	n := (size - len(head) - len(tail)) / len(piece)
	return append(append([]byte(head), bytes.Repeat([]byte(piece), n)...), tail...)
}

// array returns an array of msgpack with n times piece in it.
func array(piece string) []byte {
	n := (size - 5) / len(piece)
	head := []byte{0xdd, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	return append(head, bytes.Repeat([]byte(piece), n)...)
}

var hostileMsgpack = map[string][]byte{
	"an array that is not there":           {0xdd, 0xff, 0xff, 0xff, 0xff},
	"a map that is not there":              {0xdf, 0xff, 0xff, 0xff, 0xff},
	"a string that is not there":           {0xdb, 0xff, 0xff, 0xff, 0xff},
	"bytes that are not there":             {0xc6, 0xff, 0xff, 0xff, 0xff},
	"an extension that is not there":       {0xc9, 0xff, 0xff, 0xff, 0xff, 4},
	"an array as long as what follows":     append([]byte{0xdd, 0, size >> 16, 0, 0}, bytes.Repeat([]byte{0xdd}, size)...),
	"arrays in arrays":                     whole("", "\x91", "\xc0"),
	"maps in maps":                         whole("", "\x81\x01", "\xc0"),
	"named types in arrays":                whole("", "\x91\xc7\xff\x04\xa1n", "\xc0"),
	"nulls":                                array("\xc0"),
	"empty arrays":                         array("\x90"),
	"empty maps":                           array("\x80"),
	"maps of one":                          array("\x81\x01\xc0"),
	"maps of one with text keys":           array("\x81\xa0\xc0"),
	"empty strings":                        array("\xa0"),
	"small floats":                         array("\xca\x3f\x80\x00\x00"),
	"references":                           array("\xc7\x05\x03\x93\xa0\xa1i\xa0"),
	"named types":                          array("\xc7\x03\x04\xa1n\xc0"),
	"times":                                array("\xd6\xff\x00\x00\x00\x00"),
	"a map of integers":                    integerKeys(),
	"a map of text":                        textKeys(),
	"arguments that are named by integers": {0x81, 0x01, 0x02},
}

// integerKeys is a map with as many small keys as possible.
func integerKeys() []byte {
	const n = 0xffff
	b := []byte{0xde, 0xff, 0xff}
	for i := range n {
		b = append(b, 0xcd, byte(i>>8), byte(i), 0xc0)
	}
	return b
}

func textKeys() []byte {
	const n = min(size/5, 90*90*90) // as many as there are keys below
	b := []byte{0xdf, 0, byte(n >> 16), byte(n >> 8 & 0xff), byte(n & 0xff)}
	for i := range n {
		b = append(b, 0xa3, byte(' '+i%90), byte(' '+i/90%90), byte(' '+i/8100%90), 0xc0)
	}
	return b
}

var hostileJSON = map[string][]byte{
	"arrays in arrays":   whole("", "[", ""),
	"objects in objects": whole("", `{"":`, ""),
	"closed arrays":      append(whole("", "[", "")[:size/2], bytes.Repeat([]byte("]"), size/2)...),
	"zeros":              whole("[0", ",0", "]"),
	"empty arrays":       whole("[0", ",[]", "]"),
	"empty objects":      whole("[0", ",{}", "]"),
	"objects of one":     whole("[0", `,{"":0}`, "]"),
	"maps of one":        whole("[0", `,{"$map":[[1,2]]}`, "]"),
	"empty strings":      whole("[0", `,""`, "]"),
	"empty bytes":        whole("[0", `,{"$bytes":""}`, "]"),
	"a long number":      whole("", "9", ""),
	"a long fraction":    whole("0.", "9", ""),
	"escapes":            whole(`"`, `\u0041`, `"`),
	"a dollar":           []byte(`{"$":1}`),
	"half a pair":        []byte(`"\ud800"`),
	"an open tag":        []byte(`{"$type":"x","$value":`),
	"a hidden tag":       []byte(`{"\u0024bytes":"AA=="}`),
}

var hostileCarp = map[string][]byte{
	"a list that is not there": {0x42, 0xff, 0xff, 0xff, 0xff, 0x07},
	"null elements":            carpList("\x0a\x02\x0a\x00"),
	"empty lists":              carpList("\x0a\x02\x42\x00"),
	"empty maps":               carpList("\x0a\x02\x4a\x00"),
	"unset elements":           carpList("\x0a\x00"),
	"maps of one":              carpList("\x0a\x0c\x4a\x0a\x0a\x08\x0a\x02\x10\x00\x12\x02\x0a\x00"),
	"deep lists":               carpDeep(),
}

// carpList returns a list Value with as many elements as possible.
func carpList(piece string) []byte {
	n := (size - 5) / len(piece) * len(piece)
	head := []byte{0x42, byte(n) | 0x80, byte(n>>7) | 0x80, byte(n>>14) | 0x80, byte(n >> 21)}
	return append(head, bytes.Repeat([]byte(piece), n/len(piece))...)
}

// carpDeep returns lists in lists, their sizes written in five bytes.
func carpDeep() []byte {
	const levels = 10_000
	b := make([]byte, 0, 12*levels)
	for left := levels; left > 0; left-- {
		n := 12*left - 6
		b = append(b, 0x42, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)|0x80, byte(n>>21)|0x80, byte(n>>28))
		n -= 6
		b = append(b, 0x0a, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)|0x80, byte(n>>21)|0x80, byte(n>>28))
	}
	return b
}

var (
	msgpackCodec = codectest.Codec{Codec: msgpack.Codec{}, Marshal: msgpack.Marshal, Unmarshal: msgpack.Unmarshal}
	jsonCodec    = codectest.Codec{
		Codec: json.Codec{}, Marshal: json.Marshal, Unmarshal: json.Unmarshal, FiniteOnly: true, Years9999: true,
	}
	carpCodec = codectest.Codec{Codec: carp.Codec{}, Marshal: carp.Marshal, Unmarshal: carp.Unmarshal, Years9999: true}
)

func TestHostile(t *testing.T) {
	for name, hostile := range map[string]struct {
		codec codectest.Codec
		data  map[string][]byte
	}{
		"msgpack": {msgpackCodec, hostileMsgpack},
		"json":    {jsonCodec, hostileJSON},
		"carp":    {carpCodec, hostileCarp},
	} {
		t.Run(name, func(t *testing.T) {
			for what, data := range hostile.data {
				t.Run(what, func(t *testing.T) { codectest.Bounded(t, hostile.codec, data) })
			}
		})
	}
}

func FuzzMsgpack(f *testing.F) { codectest.Fuzz(f, msgpackCodec, small(hostileMsgpack)...) }
func FuzzJSON(f *testing.F)    { codectest.Fuzz(f, jsonCodec, small(hostileJSON)...) }
func FuzzCarp(f *testing.F)    { codectest.Fuzz(f, carpCodec, small(hostileCarp)...) }

// small leaves out what is too long for a fuzzer to work with.
func small(seeds map[string][]byte) (list [][]byte) {
	for _, seed := range seeds {
		list = append(list, seed[:min(len(seed), 1000)])
	}
	return list
}
