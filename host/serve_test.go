package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Listen is all or nothing, and says what is wrong with a target.
func TestListenErrors(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	good := newTarget(t, "unix")
	for target, want := range map[string]string{
		"ftp://x":                   "ftp",
		"unix:///no/such/directory": "/no/such/directory",
		"tcp://127.0.0.1:notaport":  "notaport",
		"/tmp/x":                    "unix:///tmp/x",
	} {
		_, err := h.Listen(testContext(t), good, target)
		checkError(t, err, want)
		if _, err := os.Stat(strings.TrimPrefix(good, "unix://")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the other target is still served: %v", target, err)
		}
	}
	_, err := h.Listen(testContext(t))
	checkError(t, err, "no targets")

	strict, err := host.New("strict")
	if err != nil {
		t.Fatal(err)
	}
	defer strict.Close()
	_, err = strict.Listen(testContext(t), "tcp://127.0.0.1:0")
	checkError(t, err, "WithInsecureTCP")
	_, err = strict.Connect(testContext(t), "tcp://127.0.0.1:1")
	checkError(t, err, "tcp://127.0.0.1:1")
}

func TestConnectErrors(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	_, err := h.Connect(testContext(t), newTarget(t, "unix"))
	checkError(t, err, "has the server started?")
	_, err = h.Connect(testContext(t), "nix")
	checkError(t, err, "scheme")
}

func TestNewErrors(t *testing.T) {
	for want, opt := range map[string]host.Option{
		`the codec "yaml"`: host.WithCodec("yaml"),
		"timeout":          host.WithTimeout(-1),
		"message of 0":     host.WithMaxMessageSize(0),
		"at most -1 calls": host.WithMaxCalls(-1),
	} {
		_, err := host.New("h", opt)
		checkError(t, err, want)
	}
}

// Serve ends with its context, in good order: a call in flight is answered.
func TestServeEnds(t *testing.T) {
	leak.Check(t)
	server, client := newHost(t, "server"), newHost(t, "client")
	begun, release := make(chan struct{}), make(chan struct{})
	work := func() int {
		begun <- struct{}{}
		<-release
		return 7
	}
	export(t, server, "work", work)
	target := newTarget(t, "unix")
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, target) }()
	up := newHost(t, "probe")
	for { // until the listener is there
		l, err := up.Connect(testContext(t), target)
		if err == nil {
			l.Close()
			break
		}
	}
	connect(t, client, target)
	f := require[func() (int, error)](t, client, "work")
	got := make(chan int, 1)
	go func() {
		n, err := f()
		if err != nil {
			t.Error(err)
		}
		got <- n
	}()
	<-begun
	stop()
	// The client hears that the server takes no more calls, while one runs.
	close(release)
	if n := <-got; n != 7 {
		t.Errorf("the call in flight returned %d", n)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, l := range client.Links() {
		<-l.Done()
	}
	if _, err := f(); status.Code(err) != codes.Unavailable {
		t.Errorf("a call after the end: %v", err)
	}
	if _, err := server.Export("late", func() {}); err != nil {
		t.Errorf("Export after the end: %v", err)
	}
	_, err := server.Listen(testContext(t), target)
	if !errors.Is(err, host.ErrClosed) {
		t.Errorf("Listen after the end: %v", err)
	}
}

// A host serves several targets at once, and dials others meanwhile.
func TestServeTargets(t *testing.T) {
	leak.Check(t)
	serving := make(chan string, 8)
	server := newHost(t, "server", host.WithHooks(host.Hooks{Status: func(s host.Status) {
		if s.State == host.Serving {
			serving <- s.Target
		}
	}}))
	hosts := []*host.Host{server}
	defer func() { closeHosts(hosts...) }()
	export(t, server, "double", func(n int) int { return 2 * n })
	var targets []string
	for _, transport := range transports() {
		targets = append(targets, newTarget(t, transport))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, targets...) }()
	for i := range targets {
		dialled, dialler := newHost(t, fmt.Sprint("dialled", i)), newHost(t, fmt.Sprint("dialler", i))
		hosts = append(hosts, dialled, dialler)
		connect(t, dialler, receive(t, serving, "the next target"))
		connect(t, server, listen(t, dialled, transports()[i]))
		for _, h := range []*host.Host{dialled, dialler} {
			export(t, h, "who.am.I"+h.Label(), h.Label)
			if n, err := require[func(int) (int, error)](t, h, "double")(i); n != 2*i || err != nil {
				t.Errorf("%s: %v, %v", h.Label(), n, err)
			}
			if label, err := require[func() (string, error)](t, server, "who.am.I"+h.Label())(); label != h.Label() || err != nil {
				t.Errorf("%s: %q, %v", h.Label(), label, err)
			}
		}
	}
	stop()
	if err := receive(t, served, "the end of Serve"); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Shutdown doesn't wait longer than its context.
func TestShutdownTimeout(t *testing.T) {
	leak.Check(t)
	for _, direction := range []string{"forward", "back"} {
		t.Run(direction, func(t *testing.T) {
			server, client := linked(t)
			exporter, caller := server, client
			if direction == "back" {
				exporter, caller = client, server
			}
			begun, ended := make(chan struct{}), make(chan struct{})
			export(t, exporter, "hang", func(ctx context.Context) {
				defer close(ended)
				close(begun)
				<-ctx.Done()
			})
			f := require[func(context.Context) error](t, caller, "hang")
			got := make(chan error, 1)
			go func() { got <- f(testContext(t)) }()
			<-begun
			if err := exporter.Shutdown(expired()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-got; status.Code(err) != codes.Unavailable {
				t.Errorf("the call ended with %v, want Unavailable", err)
			}
			<-ended
		})
	}
}

// Close ends what waits on the host.
func TestCloseEndsWaits(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	waiting := make(chan error, 1)
	go func() {
		_, err := host.Require[func() error](context.Background(), h, "never")
		waiting <- err
	}()
	h.Close()
	if err := <-waiting; !errors.Is(err, host.ErrClosed) {
		t.Errorf("Require: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	_, err := host.Call[any](context.Background(), h, "f")
	if status.Code(err) != codes.Unavailable {
		t.Errorf("Call: %v", err)
	}
}
