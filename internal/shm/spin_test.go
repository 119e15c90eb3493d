package shm

import (
	"testing"
	"time"
)

// machine is a made-up machine, its clock included.
type machine struct {
	time      time.Duration
	p, c      int
	throttles uint64
	shared    bool
	asked     int // calls of sharesCPU
}

func (m *machine) procs() int         { return m.p }
func (m *machine) cpus() int          { return m.c }
func (m *machine) throttled() uint64  { return m.throttles }
func (m *machine) sharesCPU(int) bool { m.asked++; return m.shared }

func (m *machine) governor() *governor {
	return &governor{probe: m, now: func() time.Duration {
		m.time += time.Microsecond // a look at the clock ends a batch of polls
		return m.time
	}}
}

func nothing() bool { return false }

// tries counts the polls of a spin in vain: 0 if it did not spin.
func tries(s *Spinner) (polls int) {
	s.Spin(func() bool { polls++; return false })
	return polls
}

func TestSpinnerZeroValueNeverSpins(t *testing.T) {
	var s Spinner
	if n := tries(&s); n != 0 {
		t.Errorf("the zero Spinner polled %d times", n)
	}
}

func TestSpinSucceeds(t *testing.T) {
	m := &machine{p: 2, c: 2}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	polls := 0
	if !s.Spin(func() bool { polls++; return polls == 100 }) {
		t.Error("a spin whose reason came in time did not succeed")
	}
}

func TestSpinEndsAtMax(t *testing.T) {
	m := &machine{p: 2, c: 2}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	if s.Spin(nothing) {
		t.Error("a spin without a reason succeeded")
	}
	if most := 53 * time.Microsecond; m.time > most {
		t.Errorf("it took %v, want at most %v", m.time, most)
	}
}

// Spins in vain cost at most a hundredth of the time that passes, plus a full account.
func TestSpinInVainIsBounded(t *testing.T) {
	m := &machine{p: 2, c: 2}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	var spun time.Duration
	const total = 10 * time.Second
	for m.time < total {
		before := m.time
		if tries(&s) > 0 {
			spun += m.time - before
		}
		m.time += 200 * time.Microsecond
	}
	if most := total/100 + creditMost; spun > most {
		t.Errorf("spun for %v of %v, want at most %v", spun, total, most)
	}
	if spun < total/200 {
		t.Errorf("spun for %v of %v only: it would not find out that spinning pays again", spun, total)
	}
}

// Who spun in vain for long spins again soon after it pays, and then goes on.
func TestSpinRecovers(t *testing.T) {
	m := &machine{p: 2, c: 2}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	for range 1000 {
		s.Spin(nothing)
	}
	if n := tries(&s); n != 0 {
		t.Fatalf("still spins after a thousand spins in vain (%d polls)", n)
	}
	m.time += creditPause
	won := 0
	for range 1000 {
		polls := 0
		if s.Spin(func() bool { polls++; return polls > 10 }) {
			won++
		}
	}
	if won != 1000 {
		t.Errorf("%d of 1000 waits were spun through after the pause", won)
	}
}

func TestNobodySpinsBeyondTheBudget(t *testing.T) {
	for _, c := range []struct {
		procs, cpus, most int
	}{
		{1, 1, 1}, {1, 2, 1}, {2, 2, 1}, {3, 4, 1}, {4, 4, 2}, {8, 2, 4},
	} {
		m := &machine{p: c.procs, c: c.cpus}
		g := m.governor()
		got := 0
		for g.enter(g.now()) {
			got++
		}
		if got != c.most {
			t.Errorf("GOMAXPROCS %d on %d CPUs: %d may spin, want %d", c.procs, c.cpus, got, c.most)
		}
		g.leave()
		if !g.enter(g.now()) {
			t.Errorf("GOMAXPROCS %d: a place that was left is not given away", c.procs)
		}
	}
}

func TestBudgetFollowsGOMAXPROCS(t *testing.T) {
	m := &machine{p: 2, c: 8}
	g := m.governor()
	g.enter(g.now())
	m.p = 8
	m.time += lookPeriod
	for range 3 {
		if !g.enter(g.now()) {
			t.Fatal("the budget stayed that of two processors")
		}
	}
}

// quietTime is how long nobody spins from now on.
func quietTime(t *testing.T, m *machine, s *Spinner) time.Duration {
	t.Helper()
	for from := m.time; m.time-from < 2*quietMost; m.time += 10 * time.Millisecond {
		now := m.time
		if tries(s) > 0 {
			return now - from
		}
	}
	t.Fatal("never spins again")
	return 0
}

func TestNobodySpinsWhileThrottled(t *testing.T) {
	m := &machine{p: 4, c: 4, throttles: 7} // that it once was is no reason
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	if n := quietTime(t, m, &s); n > 0 {
		t.Fatalf("does not spin for %v although the count does not grow", n)
	}
	for _, want := range []time.Duration{quietLeast, 2 * quietLeast, 4 * quietLeast} {
		m.throttles++
		m.time += lookPeriod
		if n := quietTime(t, m, &s); n < want || n > want+lookPeriod {
			t.Fatalf("no spin for %v, want %v", n, want)
		}
	}
	m.time += lookPeriod
	tries(&s) // spinning, and not throttled
	m.throttles++
	m.time += lookPeriod
	if n := quietTime(t, m, &s); n > quietLeast+lookPeriod {
		t.Errorf("no spin for %v, want %v as at first", n, quietLeast)
	}
}

// Throttling that goes on although nobody spins is no reason to begin.
func TestNobodySpinsAsLongAsThrottled(t *testing.T) {
	m := &machine{p: 4, c: 4}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	tries(&s)
	for range 1000 {
		m.throttles++
		m.time += lookPeriod
		if tries(&s) != 0 {
			t.Fatalf("spins at %v", m.time)
		}
	}
}

func TestOneSharedCPU(t *testing.T) {
	m := &machine{p: 1, c: 1, shared: true}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor()}
	if n := tries(&s); n != 0 {
		t.Errorf("polled %d times on the CPU that the peer needs", n)
	}
	naps := 0
	s.Nap = func(limit time.Duration, ready func() bool) bool {
		naps++
		if limit != s.Max {
			t.Errorf("a nap of %v, want %v", limit, s.Max)
		}
		return true
	}
	if !s.Spin(nothing) || naps != 1 {
		t.Errorf("napped %d times, want once, with success", naps)
	}
}

// One CPU for each peer is the fastest there is.
func TestOneCPUEach(t *testing.T) {
	m := &machine{p: 1, c: 1}
	s := Spinner{Max: 50 * time.Microsecond, gov: m.governor(), Nap: func(time.Duration, func() bool) bool {
		t.Error("a nap where the peer has another CPU")
		return false
	}}
	for range 100 {
		if tries(&s) == 0 {
			t.Fatal("does not spin")
		}
	}
	if m.asked != 1 {
		t.Errorf("asked for the peer's CPUs %d times within %v", m.asked, m.time)
	}
	m.time += sharesLook
	if tries(&s); m.asked != 2 {
		t.Error("does not notice that the peer may run elsewhere now")
	}
}

func TestSpinDoesNotAllocate(t *testing.T) {
	s := Spinner{Max: time.Microsecond}
	if n := testing.AllocsPerRun(100, func() { s.Spin(nothing) }); n != 0 {
		t.Errorf("%v allocations per spin", n)
	}
}
