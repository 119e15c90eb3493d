package bench

import (
	"errors"
	"math"
	"sync"
	"time"
)

// Load is what a client does, over and over.
type Load struct {
	// Do is one operation of one caller, 0 ≤ caller < Case.Callers. Each caller
	// is one goroutine. An error ends the run.
	Do func(caller int) error
	// Before is what a caller does before each Do, on the same goroutine. Its
	// time is not counted, but for the CPU time. It may be nil.
	Before func(caller int) error
	// Close lets go of what the load holds. It may be nil.
	Close func()
}

// Result is the outcome of a run.
type Result struct {
	Ops     uint64
	Elapsed time.Duration

	P50, P90, P99, P999, Max, Mean time.Duration

	// Fewest and Most are the operations of the least and the most served
	// caller.
	Fewest, Most uint64

	Client, Server Usage // of the measured time

	// Foreign is the CPU time that went to neither of the two processes,
	// relative to Elapsed: 0.5 is half a CPU.
	Foreign float64
}

// PerSecond is operations per second.
func (r Result) PerSecond() float64 { return float64(r.Ops) / r.Elapsed.Seconds() }

// CPU is the CPU time per operation of both processes together.
func (r Result) CPU() time.Duration { return (r.Client.CPU + r.Server.CPU) / time.Duration(r.Ops) }

// ClientCPU is the client's CPU time per operation.
func (r Result) ClientCPU() time.Duration { return r.Client.CPU / time.Duration(r.Ops) }

// Allocs is the objects that the client allocated per operation.
func (r Result) Allocs() float64 { return float64(r.Client.Mallocs) / float64(r.Ops) }

// ServerAllocs is the objects that the server allocated per operation.
func (r Result) ServerAllocs() float64 { return float64(r.Server.Mallocs) / float64(r.Ops) }

// run calls the load's Do from all callers for the given time.
func (l Load) run(callers int, time_ time.Duration) (Result, error) {
	workers := make([]worker, max(callers, 1))
	start := time.Now()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { workers[i].run(l, i, start.Add(time_)) })
	}
	wg.Wait()
	return sum(workers, time.Since(start))
}

// worker is one caller.
type worker struct {
	hist Histogram
	err  error
}

// run does one operation at least: a busy machine may let it begin when the time is up.
func (w *worker) run(l Load, i int, until time.Time) {
	for now := time.Now(); w.hist.n == 0 || now.Before(until); {
		if l.Before != nil {
			if w.err = l.Before(i); w.err != nil {
				return
			}
			now = time.Now()
		}
		if w.err = l.Do(i); w.err != nil {
			return
		}
		next := time.Now()
		w.hist.Record(next.Sub(now))
		now = next
	}
}

func sum(workers []worker, elapsed time.Duration) (Result, error) {
	var all Histogram
	r := Result{Elapsed: elapsed, Fewest: math.MaxUint64}
	var errs []error
	for i := range workers {
		w := &workers[i]
		all.Add(&w.hist)
		r.Fewest, r.Most = min(r.Fewest, w.hist.n), max(r.Most, w.hist.n)
		errs = append(errs, w.err)
	}
	if err := errors.Join(errs...); err != nil {
		return Result{}, err
	}
	if all.n == 0 {
		return Result{}, errors.New("not one operation in the time given")
	}
	r.Ops, r.Mean, r.Max = all.n, all.Mean(), all.most
	r.P50, r.P90, r.P99, r.P999 = all.Quantile(.5), all.Quantile(.9), all.Quantile(.99), all.Quantile(.999)
	return r, nil
}
