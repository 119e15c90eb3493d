package overlay_test

import (
	"encoding/json"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/internal/explore/overlay"
)

// written puts a source file under control and returns what became of it.
func written(t *testing.T, source string, edits ...overlay.Edit) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	var o overlay.Overlay
	if err := o.Explore(path, overlay.StandIns(), edits...); err != nil {
		return "", err
	}
	list, err := o.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var files struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(files.Replace[path])
	if err != nil {
		t.Fatal(err)
	}
	got, err = format.Source(lineComments.ReplaceAll(got, nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(got), nil
}

// lineComments are what keeps the line numbers.
var lineComments = regexp.MustCompile(`(?m)^//line .*\n`)

func TestRewrite(t *testing.T) {
	got, err := written(t, `//go:build linux

package x

import (
	"net"
	"sync"
	at "sync/atomic"
)

func f(mu *sync.Mutex, b *at.Bool, c net.Conn, in, out chan int) int {
	<-in
	x := <-in
	select {
	case out <- x: // sent
	default:
		g(<-in)
	}
	go g(x)
	out <- x
	select {
	case x = <-in:
		close(out)
	case <-at():
	}
	return x
}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := `package x

import explore_ "github.com/carp-rpc/carp-go/internal/explore"

import (
	at "github.com/carp-rpc/carp-go/internal/explore/atomic"
	sync "github.com/carp-rpc/carp-go/internal/explore/sync"
	"net"
)

func f(mu *sync.Mutex, b *at.Bool, c net.Conn, in, out chan int) int {
	explore_.Recv(in)
	x := explore_.Recv(in)
	explore_.Offer(out)
	select {
	case out <- x:
	default:
		g(explore_.Recv(in))
	}
	explore_.Go(func() {
		g(x)
	})
	explore_.Send(out, x)
	switch explore_.Select(in,

		at()) {
	case 0:
		x = explore_.Take(in)
		explore_.Close(out)
	default:
		explore_.Take(at())
	}

	return x
}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEdits(t *testing.T) {
	const source = "package x\n\nvar a, b = 1, 1\n"
	got, err := written(t, source, overlay.Edit{Old: "a, b", New: "b, c"})
	if err != nil || !strings.Contains(got, "var b, c = 1, 1") {
		t.Errorf("got %q, %v", got, err)
	}
	for _, old := range []string{"1", "nowhere"} {
		if got, err := written(t, source, overlay.Edit{Old: old, New: "2"}); err == nil {
			t.Errorf("edit of %q: got %q, want an error", old, got)
		}
	}
}

func TestWhatCannotBeExplored(t *testing.T) {
	for _, stmt := range []string{
		"select { case <-ch: case ch <- 1: }",
		"select { case <-ch: case <-ch: default: }",
		"select { case <-ch: case ch <- 1: default: }",
		"again: select { case <-ch: break again }",
		"again: go f(ch); goto again",
		"if <-ch == 1 { }",
		"for ; ; ch <- 1 { }",
	} {
		source := "package x\n\nfunc f(ch chan int) { " + stmt + " }\n"
		if got, err := written(t, source); err == nil || !strings.Contains(err.Error(), "can't be explored") {
			t.Errorf("%s: got %q, %v", stmt, got, err)
		}
	}
}
