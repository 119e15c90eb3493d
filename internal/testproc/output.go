package testproc

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// lineQueue cuts what is written to it into lines and keeps them until they are
// taken. It never blocks its writer: a child must not hang on its output because
// its test looks elsewhere.
type lineQueue struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	more    chan struct{} // closed and replaced whenever a line arrives
}

func newLineQueue() *lineQueue { return &lineQueue{more: make(chan struct{})} }

// Write implements [io.Writer].
func (q *lineQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.partial = append(q.partial, p...)
	for {
		line, after, found := bytes.Cut(q.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		q.add(string(line))
		q.partial = after
	}
}

// close makes a line of what came after the last line break.
func (q *lineQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.partial) > 0 {
		q.add(string(q.partial))
		q.partial = nil
	}
}

func (q *lineQueue) add(line string) {
	q.lines = append(q.lines, strings.TrimSuffix(line, "\r"))
	close(q.more)
	q.more = make(chan struct{})
}

// next takes the oldest line, or else returns a channel that is closed when
// there is one.
func (q *lineQueue) next() (line string, ok bool, more <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		return "", false, q.more
	}
	line, q.lines = q.lines[0], q.lines[1:]
	return line, true, nil
}

// raceReport is how a report of the race detector begins.
const raceReport = "WARNING: DATA RACE"

// stderrLog passes a child's standard error on to the test's log, line by line.
type stderrLog struct {
	tb   testing.TB
	role string

	mu      sync.Mutex
	partial string
	closed  bool
}

// Write implements [io.Writer].
func (l *stderrLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.partial+string(p), "\n")
	for _, line := range lines[:len(lines)-1] {
		l.log(line)
	}
	l.partial = lines[len(lines)-1]
	return len(p), nil
}

// close logs the last, unfinished line. Later writes are dropped, because
// logging to a test that has ended panics.
func (l *stderrLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.partial != "" {
		l.log(l.partial)
	}
	l.closed = true
}

func (l *stderrLog) log(line string) {
	if l.closed {
		return
	}
	if strings.Contains(line, raceReport) {
		l.tb.Errorf("%s: %s", l.role, line)
		return
	}
	l.tb.Logf("%s: %s", l.role, line)
}
