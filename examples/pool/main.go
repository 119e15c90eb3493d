// Command pool spreads work over processes of its own: one host, and workers that
// link with it and export the same function. One worker is killed in the middle,
// and nothing is lost, for the function is exported as idempotent:
//
//	go run ./examples/pool
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/backoff"

	"github.com/carp-rpc/carp-go/host"
)

// workerArg has the program be a worker. The target to link with follows.
const workerArg = "worker"

func main() {
	if err := start(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == workerArg {
		return work(ctx, args[1], os.Stdin)
	}
	return run(ctx, os.Stdout, 4, 400)
}

// digest is the work: a hash of a hash of a hash.
func digest(job string) string {
	sum := sha256.Sum256([]byte(job))
	for range 1000 {
		sum = sha256.Sum256(sum[:])
	}
	return hex.EncodeToString(sum[:8])
}

// work is a worker. It lives until its standard input ends, which it does with the
// parent.
func work(ctx context.Context, target string, in io.Reader) error {
	h, err := host.New(fmt.Sprintf("worker %d", os.Getpid()))
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Export("Worker.Digest", digest, host.WithIdempotent()); err != nil {
		return err
	}
	if _, err := h.Connect(ctx, target); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// run has workers do a number of jobs, one of them being killed in the middle.
func run(ctx context.Context, out io.Writer, workers, jobs int) error {
	dir, err := os.MkdirTemp("", "carp-pool-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	linked := make(chan struct{}, workers)
	h, err := host.New("pool", host.WithHooks(host.Hooks{
		Exports: func(*host.Link, host.ExportsChange) { linked <- struct{}{} },
	}))
	if err != nil {
		return err
	}
	defer h.Close()
	target := "unix:" + filepath.Join(dir, "pool.sock")
	if _, err := h.Listen(ctx, target); err != nil {
		return err
	}
	var all []*exec.Cmd
	defer func() {
		for _, w := range all {
			stop(w)
		}
	}()
	for range workers {
		w, err := startWorker(ctx, target)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	for range workers {
		<-linked
	}
	fmt.Fprintf(out, "%d workers are linked\n", len(h.Providers("Worker.Digest")))
	return spread(ctx, out, h, jobs, all[0])
}

// spread makes a call for each job, and kills a worker when a third of them are
// done.
func spread(ctx context.Context, out io.Writer, h *host.Host, jobs int, victim *exec.Cmd) error {
	digestOf, err := host.Require[func(context.Context, string) (string, error)](ctx, h, "Worker.Digest",
		host.WithPicker(host.RoundRobin()),
		host.WithRetry(host.RetryPolicy{Attempts: 5, Backoff: backoff.Config{
			BaseDelay: 10 * time.Millisecond, Multiplier: 2, MaxDelay: time.Second,
		}}),
	)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	todo, done := make(chan int), make(chan error)
	for range 16 {
		wg.Go(func() {
			for n := range todo {
				job := fmt.Sprint("job ", n)
				got, err := digestOf(ctx, job)
				if err == nil && got != digest(job) {
					err = fmt.Errorf("%s: got %s", job, got)
				}
				done <- err
			}
		})
	}
	go func() {
		for n := range jobs {
			todo <- n
		}
		close(todo)
		wg.Wait()
		close(done)
	}()
	right, failed := 0, error(nil)
	for err := range done {
		if err != nil {
			failed = err
			continue
		}
		if right++; right == jobs/3 {
			victim.Process.Kill()
			fmt.Fprintf(out, "after %d jobs worker %d is killed\n", right, victim.Process.Pid)
		}
	}
	fmt.Fprintf(out, "%d of %d jobs are done\n", right, jobs)
	return failed
}

func startWorker(ctx context.Context, target string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := exec.CommandContext(ctx, self, workerArg, target)
	w.Stderr = os.Stderr
	// The worker lives as long as this pipe is open.
	if _, err := w.StdinPipe(); err != nil {
		return nil, err
	}
	return w, w.Start()
}

// stop ends a worker, unless that has happened.
func stop(w *exec.Cmd) {
	w.Process.Kill()
	w.Wait() // its error is that it was killed
}
