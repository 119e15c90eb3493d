package shm

import (
	"runtime"
	"sync/atomic"
	"time"
)

// process governs the spinners of this process.
var process = governor{probe: systemProbe{}, now: sinceStart}

var start = time.Now()

func sinceStart() time.Duration { return time.Since(start) }

// A governor says how many goroutines of a process may spin at a time: half of the
// processors, one at least, as many as can be waited for by the other half; and
// none while the process is being throttled, when every spin is paid for with a
// pause of all.
type governor struct {
	probe probe
	now   func() time.Duration // monotonic

	spinning atomic.Int32
	most     atomic.Int32
	single   atomic.Bool // this process has one CPU
	alone    atomic.Bool // Go has one processor: spinners yield to other goroutines

	next      atomic.Int64 // when to look at the machine again
	looking   atomic.Bool
	throttled uint64 // under looking
	quiet     time.Duration
}

// probe is what a governor asks the machine.
type probe interface {
	procs() int             // GOMAXPROCS
	cpus() int              // that this process may run on
	throttled() uint64      // how often its cgroup ran out of CPU time
	sharesCPU(pid int) bool // this process and pid may run on one CPU only, the same
}

const (
	lookPeriod = 500 * time.Millisecond
	// quietLeast and quietMost are how long nobody spins after a throttling. It
	// is longer each time that spinning is followed by throttling again.
	quietLeast = time.Second
	quietMost  = time.Minute
)

// enter asks for a place among the spinners. Who gets it must leave.
func (g *governor) enter(now time.Duration) bool {
	if int64(now) >= g.next.Load() {
		g.look(now)
	}
	if g.spinning.Add(1) <= g.most.Load() {
		return true
	}
	g.spinning.Add(-1)
	return false
}

func (g *governor) leave() { g.spinning.Add(-1) }

// look reckons anew how many may spin. It is done by one of those who want to, so a
// process in which nobody waits looks at nothing.
func (g *governor) look(now time.Duration) {
	if !g.looking.CompareAndSwap(false, true) {
		return
	}
	defer g.looking.Store(false)
	procs := g.probe.procs()
	most, wait := max(1, procs/2), lookPeriod
	count, first := g.probe.throttled(), g.next.Load() == 0
	switch {
	case !first && count != g.throttled:
		g.quiet = min(quietMost, max(quietLeast, 2*g.quiet))
		most, wait = 0, g.quiet
	case g.most.Load() > 0: // not if we are back from being quiet: wait and see
		g.quiet = 0
	}
	g.throttled = count
	g.single.Store(g.probe.cpus() == 1)
	g.alone.Store(procs == 1)
	g.most.Store(int32(most))
	g.next.Store(int64(now + wait))
}

// systemProbe asks this machine.
type systemProbe struct{}

func (systemProbe) procs() int { return runtime.GOMAXPROCS(0) }
