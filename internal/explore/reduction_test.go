package explore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestReductionLosesNoOutcome runs small random programs in every order, and then in
// those that the reduction leaves: all outcomes, also the deadlocks, are the same.
func TestReductionLosesNoOutcome(t *testing.T) {
	var every, reduced int
	for seed := range uint64(60) {
		program := randomProgram(seed)
		all, n := program.outcomes(t, Options{every: true})
		some, m := program.outcomes(t, Options{})
		every, reduced = every+n, reduced+m
		if want, got := slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(some)); !slices.Equal(want, got) {
			t.Errorf("seed %d: outcomes %q, want %q\n%v", seed, got, want, program)
		}
	}
	t.Logf("%d orders, %d after the reduction", every, reduced)
	if reduced*5 > every {
		t.Errorf("of %d orders %d are left: that is no reduction", every, reduced)
	}
}

// instruction is one step of a random program.
type instruction struct {
	do     string // load, store, lock, trylock, free, put, take
	object int
}

type program [][]instruction

func randomProgram(seed uint64) program {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := make(program, 2+rng.IntN(2))
	for i := range p {
		for range 1 + rng.IntN(3) {
			object := rng.IntN(2)
			switch rng.IntN(6) {
			case 0, 1:
				p[i] = append(p[i], instruction{"load", object})
			case 2, 3:
				p[i] = append(p[i], instruction{"store", object})
			case 4:
				do := []string{"lock", "trylock"}[rng.IntN(2)]
				p[i] = append(p[i], instruction{do, object}, instruction{"store", 1 - object}, instruction{"free", object})
			case 5:
				p[i] = append(p[i], instruction{"put", object}, instruction{"take", 1 - object})
			}
		}
	}
	return p
}

// run does the instructions of a thread; what it loads decides what it stores.
func run(code []instruction, vars, locks, tokens *[2]int, saw *strings.Builder) {
	last := 1
	held := [2]bool{}
	for _, in := range code {
		switch x := &vars[in.object]; in.do {
		case "load":
			Touch(x, Read)
			last = 2*last + *x
			fmt.Fprint(saw, " ", *x)
		case "store":
			Touch(x, Write)
			*x = last
		case "lock":
			l := &locks[in.object]
			When(l, Acquire, func() bool { return *l == 0 })
			*l, held[in.object] = 1, true
		case "trylock":
			l := &locks[in.object]
			Touch(l, Write)
			held[in.object] = *l == 0
			fmt.Fprint(saw, " ", held[in.object])
			*l = 1
		case "free":
			if held[in.object] {
				l := &locks[in.object]
				Touch(l, Release)
				*l = 0
			}
		case "put":
			k := &tokens[in.object]
			Touch(k, Write)
			*k = 1
		case "take":
			k := &tokens[in.object]
			When(k, Write, func() bool { return *k > 0 })
			*k = 0
		}
	}
}

func (p program) outcomes(t *testing.T, opt Options) (seen map[string]bool, runs int) {
	t.Helper()
	seen = map[string]bool{}
	e := explorer{opt: opt}
	e.opt.MaxRuns, e.opt.MaxSteps = 1<<30, 1000
	e.body = func(s *Schedule) {
		var vars, locks, tokens [2]int
		saw := make([]strings.Builder, len(p))
		for i, code := range p {
			s.Go(fmt.Sprint(i), func() { run(code, &vars, &locks, &tokens, &saw[i]) })
		}
		s.AtEnd(func() error {
			text := fmt.Sprint(vars)
			for i := range saw {
				text += ";" + saw[i].String()
			}
			seen[text] = true
			return nil
		})
	}
	for {
		runs++
		s, err := e.run(false)
		if err != nil {
			if s.panicked() != nil {
				t.Fatal(err)
			}
			seen[s.stuckAs()] = true
		}
		if !e.back() {
			return seen, runs
		}
	}
}

// stuckAs tells which threads are stuck.
func (s *Schedule) stuckAs() string {
	text := "stuck:"
	for _, t := range s.threads {
		if !t.done {
			text += " " + t.name
		}
	}
	return text
}
