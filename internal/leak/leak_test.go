package leak_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/leak"
)

const (
	// short is the patience where something is left on purpose.
	short = 20 * time.Millisecond
	// long is the patience where nothing is: what goes away takes as long as a
	// loaded machine wants.
	long = 60 * time.Second
)

// fake is a test that has a name and an end of its own.
type fake struct {
	testing.TB
	name     string
	cleanups []func()
	report   string
}

func newFake(tb testing.TB, name string) *fake {
	tb.Helper()
	return &fake{TB: tb, name: name}
}

func (f *fake) Helper() {}

func (f *fake) Name() string { return f.name }

func (f *fake) Cleanup(do func()) { f.cleanups = append(f.cleanups, do) }

func (f *fake) Errorf(format string, args ...any) { f.report += fmt.Sprintf(format, args...) + "\n" }

// end runs the cleanups, last one first, and returns what was reported.
func (f *fake) end() string {
	for len(f.cleanups) > 0 {
		last := len(f.cleanups) - 1
		do := f.cleanups[last]
		f.cleanups = f.cleanups[:last]
		do()
	}
	return f.report
}

// expect fails the test unless the report contains each of want.
func expect(t *testing.T, report string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(report, w) {
			t.Errorf("the report lacks %q:\n%s", w, report)
		}
	}
}

func expectNone(t *testing.T, report string) {
	t.Helper()
	if report != "" {
		t.Errorf("unexpected report:\n%s", report)
	}
}

// blockForTest is named so that its stack can be recognised.
func blockForTest(release <-chan struct{}) { <-release }

func TestGoroutineIsReported(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	release := make(chan struct{})
	defer close(release)
	go blockForTest(release)
	expect(t, f.end(), "TestX has left 1 goroutine", "[chan receive]", "leak_test.blockForTest", "created by", "leak_test.go")
}

func TestManyGoroutinesAreCounted(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	release := make(chan struct{})
	defer close(release)
	for range 130 {
		go blockForTest(release)
	}
	expect(t, f.end(), "130 goroutines", "… and 30 more")
}

func TestGoroutineThatEndsInTime(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, long)
	go func() {
		for range 1000 {
			runtime.Gosched()
		}
	}()
	expectNone(t, f.end())
}

func TestGoroutineFromBeforeMayStay(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	go blockForTest(release)
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short)
	expectNone(t, f.end())
}

// TestCleanupsOfTheTestRunFirst is why Check is called first.
func TestCleanupsOfTheTestRunFirst(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, long)
	release := make(chan struct{})
	go blockForTest(release)
	f.Cleanup(func() { close(release) })
	expectNone(t, f.end())
}

func TestFileIsReported(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "left.sock")
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, short, dir)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, f.end(), "1 file", path)

	// It may stay for the next one, and a directory may go altogether.
	f = newFake(t, "TestY")
	w.Check(f, short, dir)
	expectNone(t, f.end())
	f = newFake(t, "TestZ")
	w.Check(f, short, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expectNone(t, f.end())
}

// TestUnreadableDirectory makes sure that what can't be looked at isn't passed.
func TestUnreadableDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var w leak.Watcher
	f := &fatalFake{fake: newFake(t, "TestX")}
	w.Check(f, short, path)
	expect(t, f.report, "can't tell", path)
}

// fatalFake goes on after Fatalf, and is not to be ended.
type fatalFake struct{ *fake }

func (f *fatalFake) Fatalf(format string, args ...any) { f.Errorf(format, args...) }

// TestBystanders uses what starts goroutines that nobody can stop.
func TestBystanders(t *testing.T) {
	var w leak.Watcher
	f := newFake(t, "TestX")
	w.Check(f, long)
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	if _, err := netip.ParseAddr("fe80::1%carp"); err != nil { // package unique
		t.Fatal(err)
	}
	runtime.GC()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	expectNone(t, f.end())
}

// TestOverlap has two tests that run side by side: the one that ends first must
// not be blamed for what the other still uses.
func TestOverlap(t *testing.T) {
	var w leak.Watcher
	a, b := newFake(t, "TestA"), newFake(t, "TestB")
	w.Check(a, short)
	w.Check(b, short)
	release := make(chan struct{})
	go blockForTest(release)
	expectNone(t, a.end())
	close(release)
	expectNone(t, b.end())
}

// TestOverlapIsJudgedAtTheEnd: nothing escapes by overlapping.
func TestOverlapIsJudgedAtTheEnd(t *testing.T) {
	var w leak.Watcher
	a, b := newFake(t, "TestA"), newFake(t, "TestB")
	release := make(chan struct{})
	defer close(release)
	w.Check(a, short)
	go blockForTest(release) // before b has begun
	w.Check(b, short)
	expectNone(t, a.end())
	expect(t, b.end(), "one of TestA, TestB has left 1 goroutine", "leak_test.blockForTest")

	// The group is over: what it left is not held against the next test.
	c := newFake(t, "TestC")
	w.Check(c, short)
	expectNone(t, c.end())
}

// TestSubtestIsJudgedAlone: a subtest runs inside its parent, not beside it.
func TestSubtestIsJudgedAlone(t *testing.T) {
	var w leak.Watcher
	parent, sub := newFake(t, "TestX"), newFake(t, "TestX/sub")
	w.Check(parent, short)
	w.Check(sub, short)
	release := make(chan struct{})
	go blockForTest(release)
	expect(t, sub.end(), "TestX/sub has left 1 goroutine")
	close(release)
	expectNone(t, parent.end())
}

// TestOverlapTiesGroups has a test that runs beside a parent and its subtest,
// which were two groups until then.
func TestOverlapTiesGroups(t *testing.T) {
	var w leak.Watcher
	parent, sub, other := newFake(t, "TestX"), newFake(t, "TestX/sub"), newFake(t, "TestY")
	w.Check(parent, short)
	release := make(chan struct{})
	defer close(release)
	go blockForTest(release)
	w.Check(sub, short)
	w.Check(other, short)
	expectNone(t, sub.end())
	expectNone(t, other.end())
	expect(t, parent.end(), "one of TestX, TestX/sub, TestY has left 1 goroutine")
}

// TestParallel is the real thing: parallel subtests that hold goroutines.
func TestParallel(t *testing.T) {
	leak.Check(t)
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			leak.Check(t)
			release := make(chan struct{})
			done := make(chan struct{})
			go func() { defer close(done); blockForTest(release) }()
			for range 100 * i {
				runtime.Gosched()
			}
			close(release)
			<-done
		})
	}
}
