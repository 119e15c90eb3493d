package bench

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Program is a suite's Run: comparisons in rows, of which its arguments select some.
type Program struct {
	// Flags are those that all programs have: of the Plan, and -rows. Others may be added
	// before Parse.
	Flags *flag.FlagSet
	// Plan is how each row is measured.
	Plan *Plan

	rows   *string
	wanted *regexp.Regexp
}

// NewProgram returns a program whose name is for its usage text.
func NewProgram(name string) *Program {
	p := &Program{Flags: flag.NewFlagSet(name, flag.ContinueOnError)}
	p.Plan = planFlags(p.Flags)
	p.rows = p.Flags.String("rows", "", "regular expression of the rows to run")
	return p
}

// Parse reads the program's arguments.
func (p *Program) Parse(args []string) error {
	if err := p.Flags.Parse(args); err != nil {
		return err
	}
	var err error
	p.wanted, err = regexp.Compile(*p.rows)
	return err
}

// Row measures a row and gives it to write, if it is wanted.
func (p *Program) Row(ctx context.Context, title string, cases []Case, write func(Row) error) error {
	if !p.wanted.MatchString(title) {
		return nil
	}
	row, err := Compare(ctx, *p.Plan, cases)
	if err != nil {
		return err
	}
	return write(row)
}

// Print measures a row and prints it, and what after has to say about it, if it is wanted.
func (p *Program) Print(ctx context.Context, out io.Writer, title string, cases []Case, after func(Row)) error {
	return p.Row(ctx, title, cases, func(row Row) error {
		if err := WriteRow(out, title, row); err != nil {
			return err
		}
		if after != nil {
			after(row)
		}
		_, err := fmt.Fprintln(out)
		return err
	})
}

// planFlags adds a plan's flags, and returns the plan that they fill in.
func planFlags(f *flag.FlagSet) *Plan {
	p := new(Plan)
	f.IntVar(&p.Rounds, "rounds", 5, "rounds that count, of each row")
	f.IntVar(&p.Repeats, "repeats", 5, "disturbed rounds of a row that are repeated")
	f.Float64Var(&p.Quiet, "quiet", 0.15, "CPUs that other processes may use in a round that counts")
	f.DurationVar(&p.Wait, "wait", 10*time.Second, "longest wait of a row for a quiet machine")
	f.DurationVar(&p.Times.Warm, "warm", 150*time.Millisecond, "warm-up of each run")
	f.DurationVar(&p.Times.Measure, "time", 400*time.Millisecond, "measured time of each run")
	f.StringVar(&p.Profiles, "profiles", "", "directory for CPU profiles of the last run of each case")
	return p
}
