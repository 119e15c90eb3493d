package rpctest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String lists every lane.
func (o observations) String() string {
	var b strings.Builder
	for _, lane := range slices.Sorted(maps.Keys(o)) {
		for _, line := range o[lane] {
			fmt.Fprintf(&b, "  %s: %s\n", lane, line)
		}
	}
	return b.String()
}

// diff lists the lines that o and other don't share, lane by lane, or nothing
// if they are equal.
func (o observations) diff(other observations) string {
	lanes := map[string]bool{}
	for lane := range o {
		lanes[lane] = true
	}
	for lane := range other {
		lanes[lane] = true
	}
	var b strings.Builder
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		if !slices.Equal(o[lane], other[lane]) {
			fmt.Fprintf(&b, "%s:\n", lane)
			diffLines(&b, o[lane], other[lane])
		}
	}
	return b.String()
}

// diffLines writes both lists with their common beginning and end joined.
func diffLines(b *strings.Builder, x, y []string) {
	head := 0
	for head < len(x) && head < len(y) && x[head] == y[head] {
		head++
	}
	tail := 0
	for tail < len(x)-head && tail < len(y)-head && x[len(x)-1-tail] == y[len(y)-1-tail] {
		tail++
	}
	write := func(mark string, lines []string) {
		for _, line := range lines {
			fmt.Fprintf(b, "%s %s\n", mark, line)
		}
	}
	write(" ", x[:head])
	write("-", x[head:len(x)-tail])
	write("+", y[head:len(y)-tail])
	write(" ", x[len(x)-tail:])
}

// apply returns observations without what the difference excuses.
func (d Difference) apply(o observations) observations {
	excused := observations{}
	for lane, lines := range o {
		if d.Lane != "" && d.Lane != lane {
			excused[lane] = lines
			continue
		}
		for _, line := range lines {
			excused[lane] = append(excused[lane], d.Match.ReplaceAllString(line, d.Replace))
		}
	}
	return excused
}
