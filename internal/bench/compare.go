package bench

import (
	"context"
	"slices"
	"time"
)

// Plan says how often and how long to measure.
type Plan struct {
	Times Times
	// Rounds is how often each case of a row is run.
	Rounds int
	// Quiet is the most that others may use of the machine's CPU in a round
	// that counts, in CPUs. A round with more is repeated.
	Quiet float64
	// Repeats bounds the repeated rounds of a row.
	Repeats int
	// Wait bounds how long a row waits for quiet moments to begin its rounds in.
	Wait time.Duration
	// Profiles is a directory for CPU profiles of the last run of each case. Empty is
	// none.
	Profiles string
}

// Row is the outcome of a comparison: the first case is the baseline.
type Row struct {
	Cases []Case
	// Rounds has one result for each case in each round.
	Rounds [][]Result
	// Disturbed is how many of Rounds were not quiet. There are such only
	// where the repeats did not suffice.
	Disturbed int
}

// Compare measures cases by turns.
func Compare(ctx context.Context, p Plan, cases []Case) (Row, error) {
	row := Row{Cases: cases}
	var noisy [][]Result
	wait := p.Wait
	for i := 0; len(row.Rounds) < p.Rounds && i < p.Rounds+p.Repeats; i++ {
		wait -= p.awaitQuiet(ctx, wait)
		round, err := p.round(ctx, cases, i)
		if err != nil {
			return Row{}, err
		}
		if loudest(round) > p.Quiet {
			noisy = append(noisy, round)
			continue
		}
		row.Rounds = append(row.Rounds, round)
	}
	// The quieter ones first.
	slices.SortFunc(noisy, func(a, b []Result) int {
		if loudest(a) < loudest(b) {
			return -1
		}
		return 1
	})
	row.Disturbed = min(p.Rounds-len(row.Rounds), len(noisy))
	row.Rounds = append(row.Rounds, noisy[:row.Disturbed]...)
	return row, nil
}

// look is how long the machine is watched to tell whether it is quiet.
const look = 100 * time.Millisecond

// awaitQuiet waits until the machine is quiet, at most as long as most, and tells how
// long it waited. One look doesn't count.
func (p Plan) awaitQuiet(ctx context.Context, most time.Duration) time.Duration {
	for waited := time.Duration(0); ; waited += look {
		busy := machineBusy()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return waited
		}
		if (machineBusy()-busy).Seconds() <= p.Quiet*look.Seconds() || waited >= most {
			return waited
		}
	}
}

// round runs each case once. The order changes from round to round, so that none
// always runs after the same other one.
func (p Plan) round(ctx context.Context, cases []Case, i int) ([]Result, error) {
	round := make([]Result, len(cases))
	for j := range cases {
		at := (i + j) % len(cases)
		if i/len(cases)%2 == 1 {
			at = (i + len(cases) - j) % len(cases)
		}
		r, err := Run(ctx, cases[at], p.Times, p.Profiles)
		if err != nil {
			return nil, err
		}
		round[at] = r
	}
	return round, nil
}

// loudest is the most that others had in any run of a round.
func loudest(round []Result) float64 {
	var most float64
	for _, r := range round {
		most = max(most, r.Foreign)
	}
	return most
}

// Figure is one figure of a result.
type Figure func(Result) float64

// Median is the median over the rounds of a figure of case i.
func (r Row) Median(i int, of Figure) float64 {
	var all []float64
	for _, round := range r.Rounds {
		all = append(all, of(round[i]))
	}
	return median(all)
}

// Ratio is the median over the rounds of the ratio of a figure of case i to the
// baseline's in the same round.
func (r Row) Ratio(i int, of Figure) float64 {
	var all []float64
	for _, round := range r.Rounds {
		if base := of(round[0]); base != 0 {
			all = append(all, of(round[i])/base)
		}
	}
	return median(all)
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	mid := len(of) / 2
	if len(of)%2 == 1 {
		return of[mid]
	}
	return (of[mid-1] + of[mid]) / 2
}
