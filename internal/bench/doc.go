// Package bench measures one stack against another, in two processes.
//
// A number by itself says little: it depends on the machine, on what else runs
// there, on the frequency of the moment. What lasts is a ratio to a baseline that
// was measured on the same machine in the same minute. So a measurement here is
// a list of stacks, the first of which is the baseline, and the result is a
// table of ratios.
//
//	func main() {
//		bench.Main(bench.Suite{Server: serve, Client: dial, Run: run})
//	}
//
// # One run
//
// A run is one [Case] for a short time, in two fresh processes: the program runs
// itself again, once as the server and once as the client. The client makes a
// [Load], whose Do is one operation; the harness calls it from as many goroutines
// as the case has callers, first to warm up, then to measure. Do has to check
// what it got: bytes that nobody looked at were not transported.
//
// Recorded are the latency of each operation in a histogram, and of each process
// the CPU time and the allocations between the start and the end of the measured
// time.
//
// # Many runs
//
// [Compare] runs the stacks of a row by turns, each round in another order, and
// gives the medians over the rounds of the figures, and of their ratios to the
// baseline's in the same round. So a slow minute touches all stacks alike.
//
// Before it counts a run it asks the machine how much CPU went to others
// meanwhile. Rounds that were disturbed are repeated, up to a bound; a row that
// had to be made of disturbed rounds says so.
package bench
