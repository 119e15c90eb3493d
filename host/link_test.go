package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// quickly dials again without much ado.
func quickly() host.Option {
	return host.WithReconnect(backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond})
}

// A link that is lost is made again, whoever dies, and what was required stays
// valid; what was exported meanwhile is known.
func TestReconnect(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			client := newHost(t, "client", quickly())
			defer client.Close()
			export(t, client, "here", func() string { return "client" })
			first := newHost(t, "first")
			export(t, first, "name", func() string { return "first" })
			target := listen(t, first, transport)
			connect(t, client, target)
			name := require[func(context.Context) (string, error)](t, client, "name", host.WithWaitForReady(true))
			for _, label := range []string{"first", "second", "third"} {
				if label != "first" {
					next := newHost(t, label)
					export(t, next, "name", func() string { return label })
					if _, err := next.Listen(testContext(t), target); err != nil {
						t.Fatal(err)
					}
					first = next
				}
				if got, err := name(testContext(t)); err != nil || got != label {
					t.Fatalf("%q, %v, want %q", got, err, label)
				}
				// The other direction, too.
				here := require[func() (string, error)](t, first, "here")
				if got, err := here(); err != nil || got != "client" {
					t.Errorf("back: %q, %v", got, err)
				}
				if label == "second" {
					if err := first.Shutdown(testContext(t)); err != nil {
						t.Errorf("Shutdown: %v", err)
					}
				} else {
					first.Close()
				}
				for _, l := range client.Links() {
					<-l.Done()
				}
			}
		})
	}
}

// Who closes a link doesn't want it back, at either end.
func TestCloseIsNoLoss(t *testing.T) {
	leak.Check(t)
	for _, end := range []string{"dialler", "acceptor"} {
		t.Run(end, func(t *testing.T) {
			server, client := newHost(t, "server"), newHost(t, "client", quickly())
			target := listen(t, server, "unix")
			l := connect(t, client, target)
			if end == "dialler" {
				l.Close()
			} else {
				server.Links()[0].Close()
			}
			<-l.Done()
			// A second link shows that the first was not made again before it.
			connect(t, client, target)
			if n := len(client.Links()); n != 1 {
				t.Errorf("%d links, want 1", n)
			}
		})
	}
}

// Of two links between the same hosts one is used, and the other when that is
// lost.
func TestTwoLinks(t *testing.T) {
	leak.Check(t)
	second := make(chan struct{}, 1)
	a := newHost(t, "a", host.WithHooks(host.Hooks{Accept: func(*host.Link) { second <- struct{}{} }}))
	b := newHost(t, "b")
	export(t, b, "f", func(ctx context.Context) string { return "b" })
	one := connect(t, a, listen(t, b, "unix"))
	connect(t, b, listen(t, a, transports()[0]))
	f := require[func(context.Context) (string, error)](t, a, "f", host.WithWaitForReady(true))
	<-second // it is up at b, and soon here
	if n := len(a.Links()); n != 2 {
		t.Fatalf("%d links, want 2", n)
	}
	if got := a.Providers("f"); len(got) != 1 {
		t.Errorf("%d providers, want 1", len(got))
	}
	one.Close()
	<-one.Done()
	if got, err := f(testContext(t)); err != nil || got != "b" {
		t.Errorf("over the other link: %q, %v", got, err)
	}
	if got := a.Providers("f"); len(got) != 1 {
		t.Errorf("%d providers, want 1", len(got))
	}
}

func TestDialsItself(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	_, err := h.Connect(testContext(t), listen(t, h, "unix"))
	checkError(t, err, "dialled itself")
	if n := len(h.Links()); n != 0 {
		t.Errorf("%d links are left", n)
	}
}

// Shutdown tells peers, takes nothing new, lets what runs end, and then is gone.
// What runs may call its caller meanwhile.
func TestShutdown(t *testing.T) {
	for _, transport := range transports() {
		for _, direction := range []string{"forward", "back"} {
			t.Run(transport+" "+direction, func(t *testing.T) {
				leak.Check(t)
				left := make(chan string, 2)
				notices := host.WithHooks(host.Hooks{Leave: func(l *host.Link, reason string) { left <- l.PeerLabel() + ": " + reason }})
				server, client := newHost(t, "server", notices), newHost(t, "client", notices)
				other := newHost(t, "other")
				defer closeHosts(server, client, other)
				leaver, caller := server, client
				connect(t, client, listen(t, server, transport))
				if direction == "back" {
					leaver, caller = client, server
				}
				export(t, other, "work", func(context.Context) string { return "other" })
				connect(t, caller, listen(t, other, "unix"))
				begun, release := make(chan struct{}), make(chan struct{})
				export(t, caller, "help", func() string { return "helped" })
				export(t, leaver, "work", func(ctx context.Context) (string, error) {
					close(begun)
					<-release
					return host.Call[string](ctx, leaver, "help")
				})
				work := require[func(context.Context) (string, error)](t, caller, "work", host.WithPicker(host.OnHost(leaver.Label())))
				anyone := require[func(context.Context) (string, error)](t, caller, "work")
				got := make(chan string, 1)
				go func() {
					s, err := work(testContext(t))
					got <- fmt.Sprint(s, err)
				}()
				<-begun
				down := make(chan error, 1)
				go func() { down <- leaver.Shutdown(testContext(t)) }()
				if got, want := receive(t, left, "the notice"), leaver.Label()+`: host "`+leaver.Label()+`" is shutting down`; got != want {
					t.Errorf("the notice is %q, want %q", got, want)
				}
				if n := len(caller.Providers("work")); n != 1 {
					t.Errorf("%d providers after the notice", n)
				}
				for range 5 {
					if s, err := anyone(testContext(t)); err != nil || s != "other" {
						t.Errorf("a call after the notice: %q, %v", s, err)
					}
				}
				close(release)
				if s := <-got; s != "helped<nil>" {
					t.Errorf("the call that ran ended with %s", s)
				}
				if err := <-down; err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			})
		}
	}
}

// With no provider a call fails at once, unless it waits.
func TestWaitForReady(t *testing.T) {
	leak.Check(t)
	server, client := newHost(t, "server"), newHost(t, "client")
	export(t, server, "f", func() string { return "late" })
	target := listen(t, server, "unix")
	_, err := host.Call[string](testContext(t), client, "f")
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no hosts are linked") {
		t.Errorf("%v, want Unavailable", err)
	}
	got := make(chan string, 2)
	for _, opt := range []any{host.WithWaitForReady(true), grpc.WaitForReady(true)} {
		go func() {
			s, err := host.Call[string](testContext(t), client, "f", opt)
			got <- fmt.Sprint(s, err)
		}()
	}
	connect(t, client, target)
	for range 2 {
		if s := <-got; s != "late<nil>" {
			t.Errorf("waited for %s", s)
		}
	}
	_, err = host.Call[string](expired(), client, "g", host.WithWaitForReady(true))
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), `linked hosts: "server"`) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

// A call that was handed to a host that dies ends Unavailable and says so; it is
// not made elsewhere, unless its method is idempotent and the caller wants that.
func TestAtMostOnce(t *testing.T) {
	for _, transport := range transports() {
		for _, direction := range []string{"forward", "back"} {
			t.Run(transport+" "+direction, func(t *testing.T) { testAtMostOnce(t, transport, direction == "forward") })
		}
	}
}

func testAtMostOnce(t *testing.T, transport string, forward bool) {
	leak.Check(t)
	caller := newHost(t, "caller", host.WithoutReconnect())
	defer caller.Close()
	var mu sync.Mutex
	runs := make(map[string]int)
	serving := make(map[string]*host.Host)
	for _, label := range []string{"one", "two"} {
		h := newHost(t, label)
		defer h.Close()
		dies := func(ctx context.Context) string {
			mu.Lock()
			runs["all"]++
			first := runs["all"] == 1
			mu.Unlock()
			if first {
				go h.Close()
				<-ctx.Done()
			}
			return label
		}
		export(t, h, "once", dies)
		export(t, h, "again", dies, host.WithIdempotent())
		serving[label] = h
		if forward {
			connect(t, caller, listen(t, h, transport))
		} else {
			connect(t, h, listen(t, caller, transport))
		}
	}
	retry := host.WithRetry(host.RetryPolicy{Attempts: 3, Backoff: backoff.Config{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}})
	again := require[func(context.Context) (string, error)](t, caller, "again", retry)
	if got, err := again(testContext(t)); err != nil || runs["all"] != 2 {
		t.Errorf("an idempotent call: %q, %v, run %d times", got, err, runs["all"])
	}
	runs["all"] = 0
	once := require[func(context.Context) (string, error)](t, caller, "once", retry)
	_, err := once(testContext(t))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "after the call was sent") || runs["all"] != 1 {
		t.Errorf("%v, run %d times; want Unavailable, and that it was sent", err, runs["all"])
	}
	var e *host.Error
	if !errors.As(err, &e) || e.Remote() || !e.Sent() {
		t.Errorf("%#v was not said by a host", err)
	}
}

// Three hosts in three processes, of which one is killed while calls run on all:
// those that it has fail at once, those of others don't notice.
func TestOneOfThreeKilled(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			h := newHost(t, "parent", host.WithoutReconnect())
			p := parent{make(chan struct{}, 8)}
			export(t, h, "Parent", p)
			lives := testproc.Start(t, "serve", newTarget(t, transport))
			keep := connect(t, h, lives.ReadLine())
			dies := testproc.Start(t, "connect", listen(t, h, transport))
			dies.ReadLine()
			var gone *host.Link
			for _, l := range h.Links() {
				if l != keep {
					gone = l
				}
			}
			onDying := require[func(context.Context) error](t, h, "Calculator.Hang", host.WithPicker(host.OnHost(gone.PeerID())))
			onLiving := require[func(context.Context) error](t, h, "Calculator.Hang", host.WithPicker(host.OnHost(keep.PeerID())))
			ended := make(chan error, 3)
			for range 3 {
				go func() { ended <- onDying(testContext(t)) }()
			}
			ctx, stop := context.WithCancel(testContext(t))
			survives := make(chan error, 1)
			go func() { survives <- onLiving(ctx) }()
			for range 4 {
				receive(t, p.begun, "a call at a child")
			}
			dies.Kill()
			for range 3 {
				if err := receive(t, ended, "the end of a call of the dead"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "sent") {
					t.Errorf("a call of the killed process ended with %v", err)
				}
			}
			receive(t, gone.Done(), "the end of the link")
			add := require[func(context.Context, int, int) (int, error)](t, h, "Calculator.Add")
			for range 20 {
				if n, err := add(testContext(t), 1, 2); err != nil || n != 3 {
					t.Errorf("Add = %d, %v", n, err)
				}
			}
			select {
			case err := <-survives:
				t.Errorf("the call of the other process ended with %v", err)
			default:
			}
			stop()
			if err := receive(t, survives, "the end of a call of the living"); status.Code(err) != codes.Canceled {
				t.Errorf("the call of the other process ended with %v", err)
			}
			h.Close()
		})
	}
}

// A handler calls the host that called it, which calls back again, many deep.
func TestNestedCalls(t *testing.T) {
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			leak.Check(t)
			const depth = 60
			server, client := newHost(t, "server"), newHost(t, "client")
			defer closeHosts(server, client)
			var mu sync.Mutex
			trail := ""
			for _, h := range []*host.Host{server, client} {
				next := "ping"
				if h == server {
					next = "pong"
				}
				name := map[string]string{"ping": "pong", "pong": "ping"}[next]
				export(t, h, name, func(ctx context.Context, n int) (int, error) {
					mu.Lock()
					trail += h.Label()[:1]
					mu.Unlock()
					if n == 0 {
						return 0, nil
					}
					m, err := host.Call[int](ctx, h, next, n-1)
					return m + 1, err
				})
			}
			connect(t, client, listen(t, server, transport))
			ping := require[func(context.Context, int) (int, error)](t, client, "ping")
			if got, err := ping(testContext(t), depth); err != nil || got != depth {
				t.Errorf("%d, %v, want %d", got, err, depth)
			}
			if want := strings.Repeat("sc", depth/2) + "s"; trail != want {
				t.Errorf("the calls took the way %s", trail)
			}
		})
	}
}

// 64 links at once, half of them in each direction, with calls on all of them.
func TestManyLinks(t *testing.T) {
	leak.Check(t)
	const n = 64
	center := newHost(t, "center")
	targets := make(map[string]string)
	for _, transport := range transports() {
		targets[transport] = listen(t, center, transport)
	}
	export(t, center, "double", func(n int) int { return 2 * n })
	var wg sync.WaitGroup
	hosts := make([]*host.Host, n)
	for i := range hosts {
		hosts[i] = newHost(t, fmt.Sprint("h", i))
		export(t, hosts[i], fmt.Sprint("h", i), func() int { return i })
		export(t, hosts[i], "any", func() string { return fmt.Sprint("h", i) })
		transport := transports()[i%len(transports())]
		wg.Go(func() {
			if i%2 == 0 {
				connect(t, hosts[i], targets[transport])
			} else {
				connect(t, center, listen(t, hosts[i], transport))
			}
		})
	}
	wg.Wait()
	if got := len(center.Links()); got != n {
		t.Fatalf("%d links", got)
	}
	for i, h := range hosts {
		wg.Go(func() {
			for k := range 20 {
				got, err := host.Call[int](testContext(t), h, "double", k)
				if err != nil || got != 2*k {
					t.Errorf("double(%d) = %d, %v", k, got, err)
				}
				if got, err := host.Call[int](testContext(t), center, fmt.Sprint("h", i)); err != nil || got != i {
					t.Errorf("h%d = %d, %v", i, got, err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(center.Providers("any")); got != n {
		t.Errorf("%d providers, want %d", got, n)
	}
	// Nothing is relayed.
	if _, err := host.Call[string](testContext(t), hosts[0], "h1"); status.Code(err) != codes.Unavailable {
		t.Errorf("a host that is not linked was called: %v", err)
	}
	loseHalf(t, center, hosts)
}

// loseHalf ends every other link of a host with others, from either end, and checks that
// nothing but that is different.
func loseHalf(t *testing.T, center *host.Host, hosts []*host.Host) {
	t.Helper()
	links := make(map[string]*host.Link)
	for _, l := range center.Links() {
		links[l.PeerID()] = l
	}
	var wg sync.WaitGroup
	for i := 0; i < len(hosts); i += 2 {
		l := links[hosts[i].ID()]
		wg.Go(func() {
			if i%4 == 0 {
				hosts[i].Close()
			} else {
				l.Close()
			}
			receive(t, l.Done(), "the end of a link")
		})
	}
	wg.Wait()
	for i, h := range hosts {
		lost := i%2 == 0
		wg.Go(func() {
			_, err := host.Call[int](testContext(t), center, fmt.Sprint("h", i))
			if got := status.Code(err) == codes.Unavailable; got != lost || (err == nil) == lost {
				t.Errorf("h%d, lost %v: %v", i, lost, err)
			}
			if n, err := host.Call[int](testContext(t), h, "double", i); !lost && (err != nil || n != 2*i) {
				t.Errorf("double(%d) = %d, %v", i, n, err)
			}
		})
	}
	wg.Wait()
	if got := len(center.Links()); got != len(hosts)/2 {
		t.Errorf("%d links are left, want %d", got, len(hosts)/2)
	}
	if got := len(center.Providers("any")); got != len(hosts)/2 {
		t.Errorf("%d providers are left, want %d", got, len(hosts)/2)
	}
}
