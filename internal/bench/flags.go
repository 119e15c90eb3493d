package bench

import (
	"flag"
	"time"
)

// Flags adds the flags that all suites have, and returns the plan that they fill in.
func Flags(f *flag.FlagSet) *Plan {
	p := &Plan{Quiet: 0.15}
	f.IntVar(&p.Rounds, "rounds", 5, "rounds that count, of each row")
	f.IntVar(&p.Repeats, "repeats", 5, "disturbed rounds of a row that are repeated")
	f.Float64Var(&p.Quiet, "quiet", 0.15, "CPUs that other processes may use in a round that counts")
	f.DurationVar(&p.Wait, "wait", 10*time.Second, "longest wait of a row for a quiet machine")
	f.DurationVar(&p.Times.Warm, "warm", 150*time.Millisecond, "warm-up of each run")
	f.DurationVar(&p.Times.Measure, "time", 400*time.Millisecond, "measured time of each run")
	f.StringVar(&p.Profiles, "profiles", "", "directory for CPU profiles of the last run of each case")
	return p
}
