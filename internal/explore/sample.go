package explore

import "math/rand/v2"

// Sample runs a scenario in some of its orders, where all would be too many: each thread has
// a random priority, the one with the highest of those that can go on does, and at a few
// random steps it is given the lowest. So a mistake that takes few changes of threads is
// found with a likelihood that is known (Burckhardt and others, 2010). The same seed gives
// the same orders.
func Sample(runs int, seed uint64, body func(*Schedule)) Result {
	var r Result
	e := explorer{opt: Options{MaxSteps: 10_000}, body: body}
	for r.Runs < runs {
		r.Runs++
		l := &lottery{rng: rand.New(rand.NewPCG(seed, uint64(r.Runs))), length: max(r.Steps, 16)}
		s, err := e.draw(l, false)
		r.Steps = max(r.Steps, len(s.trace))
		if err != nil {
			again := &lottery{rng: rand.New(rand.NewPCG(seed, uint64(r.Runs))), length: l.length}
			s, _ = e.draw(again, true)
			r.Err, r.Trace = err, s.String()
			return r
		}
	}
	return r
}

// changes is how often a run changes a priority.
const changes = 3

// lottery draws an order.
type lottery struct {
	rng      *rand.Rand
	length   int // of a run, about
	priority []int
	at       [changes]int // steps
	lowest   int
}

// pick is the thread to go on. Threads that are new get a priority.
func (l *lottery) pick(s *Schedule, ready threads, depth int) int {
	for len(l.priority) < len(s.threads) {
		l.priority = append(l.priority, 1+l.rng.IntN(1<<20))
	}
	best := -1
	for id := range s.threads {
		if ready.has(id) && (best < 0 || l.priority[id] > l.priority[best]) {
			best = id
		}
	}
	for _, at := range l.at {
		if at == depth {
			l.lowest--
			l.priority[best] = l.lowest
			return l.pick(s, ready, -1)
		}
	}
	return best
}

// draw runs the scenario once.
func (e *explorer) draw(l *lottery, traced bool) (*Schedule, error) {
	for i := range l.at {
		l.at[i] = l.rng.IntN(l.length)
	}
	s := &Schedule{choose: l.rng.IntN, traced: traced}
	e.body(s)
	defer s.stop()
	s.start()
	for depth := 0; ; depth++ {
		if err := s.panicked(); err != nil {
			return s, err
		}
		if depth > e.opt.MaxSteps {
			return s, endless(depth)
		}
		ready := s.ready()
		if s.ended() || ready == 0 {
			return s, s.verdict()
		}
		s.take(l.pick(s, ready, depth))
	}
}
