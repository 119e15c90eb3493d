package msgpack_test

import (
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// TestForms checks the bytes themselves: peers in other languages rely on them.
func TestForms(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want string
	}{
		{nil, "c0"}, {false, "c2"}, {true, "c3"},
		{0, "00"}, {127, "7f"}, {128, "cc80"}, {255, "ccff"}, {256, "cd0100"}, {65535, "cdffff"},
		{65536, "ce00010000"}, {uint32(math.MaxUint32), "ceffffffff"}, {int64(1 << 32), "cf0000000100000000"},
		{uint64(math.MaxUint64), "cfffffffffffffffff"},
		{-1, "ff"}, {-32, "e0"}, {-33, "d0df"}, {-128, "d080"}, {-129, "d1ff7f"}, {-32768, "d18000"},
		{-32769, "d2ffff7fff"}, {math.MinInt32, "d280000000"}, {int64(math.MinInt32 - 1), "d3ffffffff7fffffff"},
		{1.5, "cb3ff8000000000000"}, {float32(1.5), "ca3fc00000"},
		{"", "a0"}, {"a", "a161"}, {strings.Repeat("a", 32), "d920" + strings.Repeat("61", 32)},
		{[]byte{}, "c400"}, {[]byte{1}, "c40101"},
		{[]int{}, "90"}, {[]int{1, 2}, "920102"}, {make([]bool, 16), "dc0010" + strings.Repeat("c2", 16)},
		{map[string]int{}, "80"}, {map[string]int{"a": 1}, "81a16101"}, {struct{ A, B int }{1, 2}, "82a14101a14202"},
		{time.Unix(1, 0), "d6ff00000001"}, {time.Unix(1, 1), "d7ff0000000400000001"},
		{time.Unix(-1, 1), "c70cff00000001ffffffffffffffff"},
		{value.Date{Year: 2024, Month: 2, Day: 29}, "c70a01" + hex.EncodeToString([]byte("2024-02-29"))},
		{
			value.DateTime{Date: value.Date{Year: 2024, Month: 2, Day: 29}, Hour: 1, Nanosecond: 500_000_000},
			"c71502" + hex.EncodeToString([]byte("2024-02-29T01:00:00.5")),
		},
		{value.Ref{Class: "C", ID: "1", Host: "h"}, "c900000007" + "03" + "93a143a131a168"},
		{value.Named{Name: "n", Value: 1}, "c900000003" + "04" + "a16e01"},
	} {
		got, err := msgpack.Marshal(tc.in)
		if err != nil || hex.EncodeToString(got) != tc.want {
			t.Errorf("Marshal(%v) = %x, %v, want %s", tc.in, got, err, tc.want)
		}
	}
}

// TestAccepts checks forms that we don't write but others do.
func TestAccepts(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want any
	}{
		{"d301" + strings.Repeat("00", 7), int64(1 << 56)},
		{"cc01", int64(1)}, {"d001", int64(1)}, {"d10001", int64(1)}, {"cf0000000000000001", int64(1)},
		{"d90161", "a"}, {"da000161", "a"}, {"db0000000161", "a"},
		{"c5000101", []byte{1}}, {"c60000000101", []byte{1}},
		{"dc000101", []any{int64(1)}}, {"dd0000000101", []any{int64(1)}},
		{"de0001a16101", map[string]any{"a": int64(1)}}, {"df00000001a16101", map[string]any{"a": int64(1)}},
		{"ca3fc00000", 1.5},
		{"c70cff" + "00000000" + "0000000000000001", time.Unix(1, 0).UTC()},
		{"c80004ff00000001", time.Unix(1, 0).UTC()},
		{"c703" + "04" + "a16e01", value.Named{Name: "n", Value: int64(1)}},
		{"d704" + "a16e" + "c70304" + "a16ec0", nil}, // a named value in a named value: refused below
	} {
		data, err := hex.DecodeString(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = msgpack.Unmarshal(data, &got)
		if tc.want == nil {
			if err == nil {
				t.Errorf("%s is accepted as %v", tc.in, got)
			}
			continue
		}
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("Unmarshal(%s): %v (-want +got)\n%s", tc.in, err, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		in   string // hexadecimal
		text string // of the error
	}{
		{"", "unexpected EOF"},
		{"c1", "never uses"},
		{"c0c0", "1 bytes after the value"},
		{"cd01", "unexpected EOF"},
		{"a261", "unexpected EOF"},
		{"92c0", "a list of 2 at offset 1, 1 bytes left"},
		{"81c0", "a map of 1 at offset 1, 1 bytes left"},
		{"ddffffffff", "a length of 4294967295 at offset 1, 0 bytes left"},
		{"dfffffffff", "a length of 4294967295"},
		{"df80000001" + strings.Repeat("00", 40), "bytes left"},
		{strings.Repeat("91", 101) + "c0", "deeper than 100"},
		{"8190c0", "a scalar as a map key, got list"},
		{"8180c0", "a scalar as a map key, got map"},
		{"81c703" + "04a16e01" + "c0", "a scalar as a map key, got named type"},
		{"82a16101a16102", "a: a key that the map already has"},
		{"8201c0cc01c0", "[1]: a key that the map already has"},
		{"82d6ff00000001c0d7ff0000000000000001c0", "a key that the map already has"},
		{"82ca00000000c0cb8000000000000000c0", "a key that the map already has"},
		{"81cb7ff8000000000001c0", "NaN as a map key"},
		{"91" + "82a16101a16102", "[0].a: a key"},
		{"81a16b" + "82a16101a16102", "k.a: a key"},
		{"a1ff", "a string at offset 1 that is not valid UTF-8"},
		{"d40000", "extension type 0"},
		{"d57fffff", "extension type 127"},
		{"d6ff", "unexpected EOF"},
		{"d5ff0000", "a timestamp of 2 bytes"},
		{"d7ffffffffff00000000", "a timestamp out of range"},
		{"c70cff" + "00000000" + "7fffffffffffffff", "a timestamp out of range"},
		{"d60132303234", "is not a date"},
		{"c70a01" + hex.EncodeToString([]byte("2023-02-29")), "is not a date"},
		{"d40232", "is not a date and time"},
		{"d40393", "not three strings"},
		{"c70503" + "93a0a0a0" + "c0", "without an id, or with something after it"},
		{"c70403" + "93a0a0a0", "without an id"},
		{"c70003", "not three strings"},
		{"d404a0", "without a name"},
		{"d504a16e", "unexpected EOF"},
		{"d504a16e" + "01", "extension of a named type ends at offset 4, its value at 5"},
		{"d604a16e" + "0101", "extension of a named type ends at offset 6, its value at 5"},
		{"92" + "d504a16e" + "01" + "01", "extension of a named type"},
	} {
		data, err := hex.DecodeString(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		err = msgpack.Check(data)
		if err == nil || !strings.HasPrefix(err.Error(), "msgpack: ") || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("Check(%s) = %v, want an error with %q", tc.in, err, tc.text)
		}
		var v any
		if err := msgpack.Unmarshal(data, &v); err == nil {
			t.Errorf("Unmarshal(%s) = %v, though Check refuses it", tc.in, v)
		}
	}
	if err := msgpack.Check([]byte{0xa2}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("what is cut off can be told from what is wrong: %v", err)
	}
	if err := msgpack.Check([]byte(strings.Repeat("\x91", 100) + "\xc0")); err != nil {
		t.Errorf("100 levels are accepted: %v", err)
	}
}

// TestManyKeys goes through the ways in which keys are compared.
func TestManyKeys(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 100, 10_000} {
		data := []byte{0xde, byte(n >> 8), byte(n)}
		for i := range n {
			data = append(data, 0xcd, byte(i>>8), byte(i), 0x82, 0x01, 0xc0, 0x02, 0xc0)
		}
		if err := msgpack.Check(data); err != nil {
			t.Errorf("%d keys: %v", n, err)
		}
		for i := range n {
			again := append(data[:len(data):len(data)], 0xd2, 0, 0, byte(i>>8), byte(i), 0xc0) // in another width
			again[1], again[2] = byte((n+1)>>8), byte(n+1)
			if err := msgpack.Check(again); err == nil || !strings.Contains(err.Error(), "already has") {
				t.Errorf("%d keys and %d twice: %v", n, i, err)
			}
			if n > 100 && i > 10 {
				break
			}
			data[1], data[2] = byte(n>>8), byte(n)
		}
	}
}

func TestRegistered(t *testing.T) {
	if !msgpack.Registered() || encoding.GetCodecV2("msgpack") != encoding.CodecV2(msgpack.Codec{}) {
		t.Error("importing the package registers its codec")
	}
	encoding.RegisterCodecV2(foreign{})
	defer encoding.RegisterCodecV2(msgpack.Codec{})
	if msgpack.Registered() {
		t.Error("a codec that has replaced ours is reported")
	}
}

type foreign struct{ encoding.CodecV2 }

func (foreign) Name() string { return "msgpack" }

func TestCodecBuffers(t *testing.T) {
	for _, size := range []int{0, 10, 5000, 3 << 20} {
		in := strings.Repeat("x", size)
		data, err := msgpack.Codec{}.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if data.Len() != len(mustMarshal(t, in)) {
			t.Errorf("%d bytes for a string of %d", data.Len(), size)
		}
		// In pieces, as gRPC receives it.
		whole := data.Materialize()
		data.Free()
		pieces := mem.BufferSlice{mem.SliceBuffer(whole[:len(whole)/2]), mem.SliceBuffer(whole[len(whole)/2:])}
		var out string
		if err := (msgpack.Codec{}).Unmarshal(pieces, &out); err != nil || out != in {
			t.Errorf("a string of %d comes back as one of %d, %v", size, len(out), err)
		}
	}
	if _, err := (msgpack.Codec{}).Marshal(make(chan int)); err == nil || !strings.HasPrefix(err.Error(), "msgpack: marshal chan int: ") {
		t.Errorf("an error says what failed: %v", err)
	}
	var n int
	err := msgpack.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0xa0}}, &n)
	if err == nil || err.Error() != "msgpack: unmarshal into *int: want int, got string" {
		t.Errorf("an error says what failed: %v", err)
	}
}

// TestKeepsNothing checks that what was decoded does not change with its data.
func TestKeepsNothing(t *testing.T) {
	data := mustMarshal(t, map[string]any{"k": []any{"text", []byte("data")}})
	var out any
	if err := msgpack.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	clear(data)
	want := map[string]any{"k": []any{"text", []byte("data")}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
