package raw_test

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/carp-rpc/carp-go/internal/raw"
)

// pool counts its buffers.
type pool struct{ out int }

func (p *pool) Get(n int) *[]byte {
	p.out++
	b := make([]byte, n)
	return &b
}

func (p *pool) Put(*[]byte) { p.out-- }

// large is more than gRPC leaves to the collector.
func large(p *pool, fill byte) mem.Buffer {
	b := p.Get(64 << 10)
	copy(*b, bytes.Repeat([]byte{fill}, len(*b)))
	return mem.NewBuffer(b, p)
}

// Memory goes back once, whatever becomes of a message.
func TestMemory(t *testing.T) {
	for name, end := range map[string]func(*raw.Message){
		"Free":    func(m *raw.Message) { m.Free() },
		"Keep":    func(m *raw.Message) { m.Keep() },
		"Buffers": func(m *raw.Message) { m.Buffers().Free() },
	} {
		for pieces := range 3 {
			var p pool
			var in mem.BufferSlice
			for i := range pieces {
				in = append(in, large(&p, byte(i)))
			}
			m := raw.Join(in)
			if m.Len() != pieces*64<<10 {
				t.Errorf("%s, %d pieces: %d bytes", name, pieces, m.Len())
			}
			end(&m)
			if p.out != 0 {
				t.Errorf("%s, %d pieces: %d buffers were not given back", name, pieces, p.out)
			}
			m.Free() // of what there is no more
			if p.out != 0 {
				t.Errorf("%s, %d pieces: memory was given back twice", name, pieces)
			}
		}
	}
}

// What is kept doesn't change with the buffers that it came in.
func TestKeep(t *testing.T) {
	var p pool
	b := large(&p, 'a')
	m := raw.Join(mem.BufferSlice{b})
	kept := m.Keep()
	data := p.Get(64 << 10)
	clear(*data)
	if len(kept) != 64<<10 || kept[0] != 'a' {
		t.Errorf("%d bytes, beginning with %q", len(kept), kept[:1])
	}
}

// Messages pass gRPC's codec interface as they are.
func TestCodec(t *testing.T) {
	m := raw.Of([]byte("abc"))
	var b mem.BufferSlice
	for range 2 { // a call that is made again
		var err error
		if b, err = raw.Codec("msgpack").Marshal(&m); err != nil {
			t.Fatal(err)
		}
	}
	var got raw.Message
	if err := raw.Codec("msgpack").Unmarshal(b, &got); err != nil || string(got.Data) != "abc" {
		t.Errorf("%q, %v", got.Data, err)
	}
	if _, err := raw.Codec("msgpack").Marshal("text"); err == nil {
		t.Error("a text passes for a message")
	}
	if err := raw.Codec("msgpack").Unmarshal(b, new(string)); err == nil {
		t.Error("a text takes a message")
	}
}
