package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
)

// person is at the terminal of a peer.
type person struct {
	t     *testing.T
	in    *io.PipeWriter
	lines chan string
	ended chan error
}

func join(t *testing.T, name, target string, peers ...string) *person {
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	p := &person{t: t, in: typed, lines: make(chan string, 100), ended: make(chan error, 1)}
	go func() {
		p.ended <- chat(t.Context(), name, target, peers, in, out)
		out.Close()
	}()
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(shown); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

func (p *person) says(text string) { fmt.Fprintln(p.in, text) }

// sees waits for a line.
func (p *person) sees(want string) {
	p.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if line == want {
				return
			}
			if !ok {
				p.t.Fatalf("the chat has ended before %q: %v", want, <-p.ended)
			}
		case <-timeout:
			p.t.Fatalf("%q is not to be seen", want)
		}
	}
}

func (p *person) leaves() {
	p.t.Helper()
	p.in.Close()
	if err := <-p.ended; err != nil {
		p.t.Error(err)
	}
}

// Three peers hear each other, whoever dialled, and see each other go.
func TestChat(t *testing.T) {
	leak.Check(t)
	dir, err := os.MkdirTemp("", "carp-chat-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := func(name string) string { return "unix:" + filepath.Join(dir, name) }
	ada := join(t, "ada", at("ada"))
	ada.sees("* others find you at " + at("ada"))
	grace := join(t, "grace", at("grace"), at("ada"))
	grace.sees("* ada is here")
	ada.sees("* grace is here")
	joan := join(t, "joan", at("joan"), at("ada"), at("grace"))
	joan.sees("* grace is here")
	ada.sees("* joan is here")
	grace.sees("* joan is here")
	joan.says("hello")
	ada.sees("joan: hello")
	grace.sees("joan: hello")
	ada.says("hello joan")
	joan.sees("ada: hello joan")
	joan.leaves()
	ada.sees("* joan has left")
	grace.leaves()
	ada.sees("* grace has left")
	ada.leaves()
}
