package rpctest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// env is what the body of a case works with: it starts the server and the
// clients of one stack, and takes down what is observed.
//
// A case never fails by itself. What goes wrong, a wait that never ends
// included, is one more observation, and the comparison with the reference
// decides.
type env struct {
	tb    testing.TB
	stack Stack
	limit time.Duration

	// runPattern selects the test that runs the case, for child processes.
	runPattern string

	// ctx ends when the case has run for too long. It has no deadline, so
	// that none travels to the server with it.
	ctx context.Context

	release []func() // what ends the case, in reverse order

	mu      sync.Mutex
	over    bool // nothing is taken down any more
	notes   observations
	chance  map[string]bool // lanes that are not taken down
	running int             // handlers
	idle    chan struct{}   // closed when running becomes 0; nil unless somebody waits
}

// observations are the lines a case took down, in order, lane by lane. Lanes
// run side by side: nothing is said about the order of lines in two of them.
type observations map[string][]string

// harnessLane is where a case says that it could not be carried out. The
// reference never does.
const harnessLane = "harness"

// note takes down one observation.
func (e *env) note(lane, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over && !e.chance[lane] {
		e.notes[lane] = append(e.notes[lane], fmt.Sprintf(format, args...))
	}
}

// taken is what has been taken down so far, for strike.
func (e *env) taken() observations {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.notes)
}

// strike takes back what was taken down since then. What a handler or a client of before
// may still take down would remain: there are none any more.
func (e *env) strike(since observations) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notes = maps.Clone(since)
}

// leaveToChance drops a lane from here on, where what happens in it depends on
// who is faster.
func (e *env) leaveToChance(lane string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.chance == nil {
		e.chance = map[string]bool{}
	}
	e.chance[lane] = true
}

// client and server take down what either side sees.
func (e *env) client(format string, args ...any) { e.note("client", format, args...) }
func (e *env) server(format string, args ...any) { e.note("server", format, args...) }

// observe runs a case on a stack and returns what it took down. It returns in
// time even when the stack under test hangs; what hangs is then left behind.
func observe(tb testing.TB, s Stack, c testCase, runPattern string, limit time.Duration) observations {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &env{tb: tb, stack: s, limit: limit, runPattern: runPattern, ctx: ctx, notes: observations{}}
	watchdog := time.AfterFunc(limit, cancel)
	defer watchdog.Stop()

	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		defer e.end()
		c.run(e)
	}()
	// A body that does not even react to the end of its context is given
	// as long again.
	select {
	case <-done:
	case <-time.After(2 * limit):
		e.note(harnessLane, "the case hangs")
	}
	if !watchdog.Stop() {
		e.note(harnessLane, "the case ran into its time limit")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	return e.notes
}

// end waits for the handlers, closes the clients and stops the server. Every
// handler of a case must end before that: what it would see of the end of the
// connection would depend on chance.
func (e *env) end() {
	e.awaitHandlers()
	for _, release := range slices.Backward(e.release) {
		release()
	}
}

// awaitHandlers waits until no handler runs.
func (e *env) awaitHandlers() {
	e.mu.Lock()
	idle := make(chan struct{})
	if e.running == 0 {
		close(idle)
	} else {
		e.idle = idle
	}
	e.mu.Unlock()
	e.wait(idle, "the end of every handler")
}

// handling counts a handler in; the function it returns counts it out.
func (e *env) handling() func() {
	count := func(n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.running += n
		if e.running == 0 && e.idle != nil {
			close(e.idle)
			e.idle = nil
		}
	}
	count(1)
	return func() { count(-1) }
}

// wait waits for an event. One that never comes is taken down.
func (e *env) wait(event <-chan struct{}, what string) bool {
	select {
	case <-event:
		return true
	default:
	}
	timeout := time.NewTimer(e.limit / 2)
	defer timeout.Stop()
	select {
	case <-event:
		return true
	case <-e.ctx.Done():
	case <-timeout.C:
	}
	e.note(harnessLane, "never happened: %s", what)
	return false
}

// serve starts a server of the test service.
func (e *env) serve(h handlers, settings ...func(*ServerConfig)) Endpoint {
	cfg := ServerConfig{Register: func(r grpc.ServiceRegistrar) { r.RegisterService(h.desc(e), nil) }}
	for _, set := range settings {
		set(&cfg)
	}
	ep := e.stack.Start(e.tb, cfg)
	e.release = append(e.release, ep.Stop)
	return ep
}

// dial makes a client. One that has connectivity states is connected first,
// so that no case sees how a connection comes about unless it is about that.
func (e *env) dial(ep Endpoint, settings ...func(*ClientConfig)) client {
	c := e.dialIdle(ep, settings...)
	if sc, ok := c.Conn.(StateConn); ok {
		sc.Connect()
		e.awaitState(sc, connectivity.Ready)
	}
	return c
}

// dialIdle makes a client and leaves it unconnected.
func (e *env) dialIdle(ep Endpoint, settings ...func(*ClientConfig)) client {
	var cfg ClientConfig
	for _, set := range settings {
		set(&cfg)
	}
	c := client{ep.Dial(e.tb, cfg)}
	e.release = append(e.release, func() { c.Close() })
	return c
}

// awaitState waits until a connection is in a state.
func (e *env) awaitState(sc StateConn, want connectivity.State) bool {
	for {
		s := sc.GetState()
		if s == want {
			return true
		}
		if !sc.WaitForStateChange(e.ctx, s) {
			e.note(harnessLane, "the connection never became %v: it is %v", want, s)
			return false
		}
	}
}

// pair starts a server and a client with default settings.
func (e *env) pair(h handlers) client { return e.dial(e.serve(h)) }

// signal is an event that a case waits for. It may happen more than once.
type signal struct {
	once sync.Once
	c    chan struct{}
}

func newSignal() *signal { return &signal{c: make(chan struct{})} }

func (s *signal) happened() { s.once.Do(func() { close(s.c) }) }

// await waits for the signal.
func (e *env) await(s *signal, what string) bool { return e.wait(s.c, what) }

// spawn runs a part of a case on a goroutine of its own. The function it
// returns waits for its end.
func (e *env) spawn(what string, f func()) (join func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return func() {
		if e.wait(done, what) {
			return
		}
		// The end of the case's time ends what the part does, if the stack notices.
		// If not, the case is over: what comes next must not run beside it, for
		// a stream has one receiver.
		select {
		case <-done:
		case <-time.After(e.limit):
			runtime.Goexit()
		}
	}
}
