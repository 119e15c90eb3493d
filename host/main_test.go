package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

func TestMain(m *testing.M) {
	registerErrors()
	testproc.Main(m, map[string]testproc.Role{
		"serve":   serveRole,
		"connect": connectRole,
		"crash":   crashRole,
	})
}

// patience bounds what must happen soon, with room for a loaded machine.
const patience = 30 * time.Second

func newHost(tb testing.TB, label string, opts ...host.Option) *host.Host {
	tb.Helper()
	opts = append([]host.Option{
		host.WithInsecureTCP(),
		host.WithAnnouncements("*"),
		host.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)
	h, err := host.New(label, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { h.Close() })
	return h
}

func testContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func export(tb testing.TB, h *host.Host, name string, v any, opts ...host.ExportOption) *host.Exported {
	tb.Helper()
	e, err := h.Export(name, v, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func require[F any](tb testing.TB, h *host.Host, name string, opts ...host.CallOption) F {
	tb.Helper()
	f, err := host.Require[F](testContext(tb), h, name, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// transports are the kinds of targets that work here.
func transports() []string {
	if runtime.GOOS == "linux" {
		return []string{"shm", "unix", "tcp"}
	}
	return []string{"unix", "tcp"}
}

// newTarget is a target of a kind on which nobody listens.
func newTarget(tb testing.TB, transport string) string {
	tb.Helper()
	if transport == "tcp" {
		return "tcp://127.0.0.1:0"
	}
	dir, err := os.MkdirTemp("", "carp") // t.TempDir can be too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return transport + "://" + filepath.Join(dir, "s")
}

// listen makes h reachable and returns the target to dial.
func listen(tb testing.TB, h *host.Host, transport string) string {
	tb.Helper()
	target := newTarget(tb, transport)
	addrs, err := h.Listen(testContext(tb), target)
	if err != nil {
		tb.Fatal(err)
	}
	return dialTarget(target, addrs[0])
}

func dialTarget(target string, addr net.Addr) string {
	if strings.HasPrefix(target, "tcp:") {
		return "tcp://" + addr.String()
	}
	return target
}

// linked returns two hosts of which the second has dialled the first.
func linked(tb testing.TB, opts ...host.Option) (server, client *host.Host) {
	tb.Helper()
	server, client = newHost(tb, "server", opts...), newHost(tb, "client", opts...)
	connect(tb, client, listen(tb, server, "unix"))
	return server, client
}

func connect(tb testing.TB, h *host.Host, target string) *host.Link {
	tb.Helper()
	l, err := h.Connect(testContext(tb), target)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// Calculator is what the child processes export.
type Calculator struct {
	host *host.Host
}

func (Calculator) Add(a, b int) int { return a + b }

func (Calculator) Divide(a, b float64) (float64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

func (Calculator) Sum(ctx context.Context, numbers ...int64) int64 {
	var sum int64
	for _, n := range numbers {
		sum += n
	}
	return sum
}

// Hang waits for the end of its context, having told the caller's host that it
// has begun.
func (c Calculator) Hang(ctx context.Context) error {
	begun, err := host.Require[func(context.Context) error](ctx, c.host, "Parent.Begun")
	if err == nil {
		err = begun(ctx)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// Relay calls the caller's host back.
func (c Calculator) Relay(ctx context.Context, codec string, n int) (int, error) {
	double, err := host.Require[func(context.Context, int) (int, error)](ctx, c.host, "Parent.Double", host.WithCodec(codec))
	if err != nil {
		return 0, err
	}
	return double(ctx, n)
}

// Echo returns what it gets.
func (Calculator) Echo(data []byte) []byte { return data }

func newCalculatorHost() (*host.Host, error) {
	h, err := host.New("child", host.WithInsecureTCP(), host.WithAnnouncements("*"))
	if err == nil {
		_, err = h.Export("Calculator", Calculator{h}, host.WithMethodParams("Add", "a", "b"))
	}
	return h, err
}

// serveRole exports a Calculator on the targets that it gets as arguments, and
// prints those to dial.
func serveRole(c *testproc.Child) error {
	h, err := newCalculatorHost()
	if err != nil {
		return err
	}
	defer h.Close()
	addrs, err := h.Listen(context.Background(), c.Args...)
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		c.Ready("%s", dialTarget(c.Args[i], addr))
	}
	return untilParentGone(c)
}

// connectRole exports a Calculator to the host at the target that it gets.
func connectRole(c *testproc.Child) error {
	h, err := newCalculatorHost()
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Connect(context.Background(), c.Args[0]); err != nil {
		return err
	}
	c.Ready("linked")
	return untilParentGone(c)
}

func untilParentGone(c *testproc.Child) error {
	_, err := c.In.ReadString('\n')
	if err == nil {
		return fmt.Errorf("unexpected input")
	}
	return nil
}
