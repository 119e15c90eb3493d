package direct

import (
	"testing"
	"time"
)

func calls(p *pace, n int, took time.Duration) {
	for range n {
		p.took(took)
	}
}

func TestPace(t *testing.T) {
	var p pace
	if p.quick(true, false) {
		t.Error("a method that nobody knows is run in line while requests wait")
	}
	if !p.quick(false, false) {
		t.Error("a method that nobody knows is not run in line")
	}
	calls(&p, 100, time.Microsecond)
	if !p.quick(true, false) {
		t.Error("a quick method is not run in line")
	}
	calls(&p, 100, 100*time.Microsecond)
	for _, c := range []struct{ more, alone, want bool }{
		{false, true, true}, {false, false, false}, {true, true, false}, {true, false, false},
	} {
		if got := p.quick(c.more, c.alone); got != c.want {
			t.Errorf("after calls of 100 µs: quick(%v, %v) = %v, want %v", c.more, c.alone, got, c.want)
		}
	}
	calls(&p, 100, time.Microsecond)
	if !p.quick(true, false) {
		t.Error("a method that became quick is not run in line")
	}
	calls(&p, 100, 2*time.Millisecond)
	if p.quick(false, true) {
		t.Error("a long call is run in line")
	}
}

func TestPaceCrowded(t *testing.T) {
	var p pace
	calls(&p, 100, 100*time.Microsecond)
	for range 3 {
		p.crowded()
	}
	if p.quick(false, true) {
		t.Error("calls of 100 µs are run in line although others waited for the last ones")
	}
	calls(&p, 100, 100*time.Microsecond)
	if !p.quick(false, true) {
		t.Error("calls of 100 µs are never tried in line again")
	}
}
