// Command chat is a chat without a server: each peer exports a function that says
// something on its terminal, and calls those of the others. In three terminals:
//
//	go run ./examples/chat ada   unix:/tmp/ada
//	go run ./examples/chat grace unix:/tmp/grace unix:/tmp/ada
//	go run ./examples/chat joan  unix:/tmp/joan  unix:/tmp/ada unix:/tmp/grace
//
// The first target is where a peer listens, the others are those it links with. A
// link goes both ways, whoever dialled.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"sync"

	"github.com/carp-rpc/carp-go/host"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: chat name target [target of a peer]...")
	}
	err := chat(context.Background(), os.Args[1], os.Args[2], os.Args[3:], os.Stdin, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
}

// screen is where a peer writes, one line at a time.
type screen struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// chat says each line of in to all peers, until in ends.
func chat(ctx context.Context, name, target string, peers []string, in io.Reader, out io.Writer) error {
	s := &screen{out: out}
	h, err := host.New(name, host.WithHooks(host.Hooks{
		Accept:     func(l *host.Link) { s.line("* %s is here", l.PeerLabel()) },
		Connect:    func(l *host.Link) { s.line("* %s is here", l.PeerLabel()) },
		Disconnect: func(l *host.Link, _ error) { s.line("* %s has left", l.PeerLabel()) },
	}))
	if err != nil {
		return err
	}
	defer h.Close()
	hear := func(ctx context.Context, text string) {
		who, _ := host.Caller(ctx)
		s.line("%s: %s", who.Label, text)
	}
	if _, err := h.Export("Chat.Hear", hear); err != nil {
		return err
	}
	if _, err := h.Listen(ctx, target); err != nil {
		return err
	}
	s.line("* others find you at %s", target)
	for _, peer := range peers {
		if _, err := h.Connect(ctx, peer); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		say(ctx, h, s, lines.Text())
	}
	return lines.Err()
}

// say calls each of the peers.
func say(ctx context.Context, h *host.Host, s *screen, text string) {
	for _, peer := range h.Providers("Chat.Hear") {
		if peer.Local {
			continue
		}
		_, err := host.Call[any](ctx, h, "Chat.Hear", text, host.WithPicker(host.OnHost(peer.HostID)))
		if err != nil {
			s.line("* %s didn't hear: %v", peer.Label, err)
		}
	}
}
