package leak

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// process watches this process.
var process watcher

// watcher knows the checks under way and groups those that overlap.
type watcher struct {
	mu     sync.Mutex
	groups []*group // in order of creation
}

// group is a set of overlapping tests, judged when the last of them ends.
type group struct {
	before snapshot // of the process, when the first of them began
	names  []string // of all of them
	active []*test  // those that have not ended
}

// test is one test between its call of Check and its end.
type test struct {
	name  string
	group *group
	dirs  []string // each belongs to one test, and is judged at its end
	files snapshot // their entries when the test began
}

// begin takes the first snapshot, or joins the tests under way.
func (w *watcher) begin(name string, dirs []string) (*test, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files, err := takeFiles(dirs)
	if err != nil {
		return nil, err
	}
	before, err := takeProcess()
	if err != nil {
		return nil, err
	}
	t := &test{name: name, dirs: dirs, files: files}
	w.join(t, before)
	return t, nil
}

// join puts t into the group of all tests it overlaps with, or, if there is
// none, into a new one.
func (w *watcher) join(t *test, before snapshot) {
	var joined *group
	var rest []*group
	for _, g := range w.groups {
		switch {
		case !g.overlaps(t):
			rest = append(rest, g)
		case joined == nil:
			joined = g
			rest = append(rest, g)
		default:
			// t ties two groups together. The older one came first, and so did
			// its snapshot.
			joined.absorb(g)
		}
	}
	if joined == nil {
		joined = &group{before: before}
		rest = append(rest, joined)
	}
	w.groups = rest
	joined.absorb(&group{names: []string{t.name}, active: []*test{t}})
}

func (g *group) absorb(other *group) {
	for _, t := range other.active {
		t.group = g
	}
	g.active = append(g.active, other.active...)
	g.names = append(g.names, other.names...)
}

// overlaps reports whether a test of the group runs beside t, rather than
// standing still around it.
func (g *group) overlaps(t *test) bool {
	return slices.ContainsFunc(g.active, func(a *test) bool { return !contains(a.name, t.name) })
}

// contains reports whether the test named inner is the one named outer, or one of
// its subtests.
func contains(outer, inner string) bool {
	return inner == outer || strings.HasPrefix(inner, outer+"/")
}

// end waits until nothing is left of t, at most as long as patience, and returns
// what is, with the names of the tests that may have left it.
func (w *watcher) end(t *test, patience time.Duration) (left snapshot, names []string, err error) {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left, names, ended, err := w.tryEnd(t, time.Now().After(deadline))
		if ended {
			return left, names, err
		}
		time.Sleep(pause)
	}
}

// tryEnd ends t if nothing is left of it, or regardless when late. A test can
// begin between two tries; then t leaves the process to be judged by that one.
func (w *watcher) tryEnd(t *test, late bool) (left snapshot, names []string, ended bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := t.group
	last := len(g.active) == 1
	names = []string{t.name}
	if last {
		names = g.names
	}
	left, err = t.left(last)
	if err == nil && len(left) > 0 && !late {
		return nil, nil, false, nil
	}
	g.active = slices.DeleteFunc(g.active, func(a *test) bool { return a == t })
	if last {
		w.groups = slices.DeleteFunc(w.groups, func(other *group) bool { return other == g })
	}
	return left, names, true, err
}

// left returns what there is now and was not before: in the test's directories,
// and if it is the last of its group in the process.
func (t *test) left(last bool) (snapshot, error) {
	now, err := takeFiles(t.dirs)
	if err != nil {
		return nil, err
	}
	left := now.without(t.files)
	if !last {
		return left, nil
	}
	now, err = takeProcess()
	if err != nil {
		return nil, err
	}
	return append(left, now.without(t.group.before)...), nil
}
