//go:build explore

// Package interleave_test explores the code of a connection: all of it between a
// Read or Write and the kernel. It compiles only with the overlay that the test of
// the folder above makes, and is run by it.
package interleave_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/explore"
	"github.com/carp-rpc/carp-go/internal/shm"
	"github.com/carp-rpc/carp-go/internal/shm/model/sim"
	"github.com/carp-rpc/carp-go/shmconn"
)

// past is a time before any other, never the absence of one.
var past, never = time.Unix(1, 0), time.Time{}

// pair is a connection under exploration, with rings of a few bytes.
type pair struct {
	a, b         *shmconn.Conn
	sockA, sockB *sim.UnixConn
}

func newPair(ring, bells int) *pair {
	var p pair
	p.sockA, p.sockB = sim.Pair(bells)
	sa, sb := shm.ModelSessions(ring, p.sockA, p.sockB)
	p.a, p.b = shmconn.ModelConn(sa, "A"), shmconn.ModelConn(sb, "B")
	return &p
}

// ring rings at B's door.
func (p *pair) ring(times int) {
	for range times {
		_ = sim.Send(0, []byte{1}, 0)
	}
}

// soak tells whether there is time for larger scenarios.
var soak = os.Getenv("CARP_SOAK") == "1"

// exhaust explores a scenario to its end and wants nothing to be wrong.
func exhaust(t *testing.T, scenario func(s *explore.Schedule)) {
	t.Helper()
	start := time.Now()
	r := explore.Run(explore.Options{MaxRuns: 5_000_000}, scenario)
	if r.Err != nil {
		t.Fatalf("run %d: %v\n%s", r.Runs, r.Err, r.Trace)
	}
	if !r.Complete {
		t.Fatalf("not complete after %d runs", r.Runs)
	}
	t.Logf("%d orders of up to %d steps in %v", r.Runs, r.Steps, time.Since(start).Round(time.Millisecond))
}

// note puts a token into ch, which has room.
func note(ch chan struct{}) {
	explore.Offer(ch)
	ch <- struct{}{}
}

// must stops the thread with an error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// send writes the bytes from first on, in writes of the given sizes.
func send(c *shmconn.Conn, first byte, sizes ...int) {
	for _, n := range sizes {
		p := make([]byte, n)
		for i := range p {
			p[i] = first
			first++
		}
		_, err := c.Write(p)
		must(err)
	}
}

// receive reads n bytes, which go up from first on, at most size at a time.
func receive(c *shmconn.Conn, first byte, n, size int) {
	for n > 0 {
		n -= readSome(c, &first, min(n, size))
	}
}

func readSome(c *shmconn.Conn, next *byte, size int) int {
	p := make([]byte, size)
	n, err := c.Read(p)
	must(err)
	check(p[:n], next)
	return n
}

func check(p []byte, next *byte) {
	for _, b := range p {
		if b != *next {
			panic(fmt.Sprintf("read %d, want %d", b, *next))
		}
		*next++
	}
}

// want panics unless err is one of those given; nil is one too.
func want(err error, wanted ...error) {
	for _, w := range wanted {
		if errors.Is(err, w) || err == w {
			return
		}
	}
	panic(fmt.Sprintf("error %v, want one of %v", err, wanted))
}
