package host_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
	"github.com/carp-rpc/carp-go/internal/testproc"
)

// functionCodecs are the codecs for functions of known types, dynamicCodecs those
// for others too.
var (
	dynamicCodecs  = []string{"msgpack", "json", "carp"}
	functionCodecs = append([]string{"proto"}, dynamicCodecs...)
)

// parent is what the tests export to child processes.
type parent struct {
	begun chan struct{}
}

func (parent) Double(n int) int { return 2 * n }

func (p parent) Begun() { p.begun <- struct{}{} }

// directions runs a test with a child process that exports a Calculator: one
// that this process dials, and one that dials this process.
func directions(t *testing.T, test func(t *testing.T, h *host.Host, child *testproc.Proc, p parent)) {
	for _, transport := range transports() {
		t.Run(transport+"/we dial", func(t *testing.T) {
			leak.Check(t)
			h := newHost(t, "parent")
			p := parent{make(chan struct{}, 1)}
			export(t, h, "Parent", p)
			child := testproc.Start(t, "serve", newTarget(t, transport))
			connect(t, h, child.ReadLine())
			test(t, h, child, p)
		})
		t.Run(transport+"/it dials", func(t *testing.T) {
			leak.Check(t)
			h := newHost(t, "parent")
			p := parent{make(chan struct{}, 1)}
			export(t, h, "Parent", p)
			child := testproc.Start(t, "connect", listen(t, h, transport))
			child.ReadLine()
			test(t, h, child, p)
		})
	}
}

// Calls go in both directions over one link, whoever dialled, on every transport
// and with every codec.
func TestBothDirections(t *testing.T) {
	directions(t, func(t *testing.T, h *host.Host, _ *testproc.Proc, _ parent) {
		for _, codec := range functionCodecs {
			t.Run(codec, func(t *testing.T) { testCalculator(t, h, codec) })
		}
	})
}

func testCalculator(t *testing.T, h *host.Host, codec string) {
	ctx := testContext(t)
	add := require[func(context.Context, int, int) (int, error)](t, h, "Calculator.Add", host.WithCodec(codec))
	if got, err := add(ctx, 1<<30, 1); err != nil || got != 1<<30+1 {
		t.Errorf("Add = %v, %v", got, err)
	}
	sum := require[func(context.Context, ...int64) (int64, error)](t, h, "Calculator.Sum", host.WithCodec(codec))
	if got, err := sum(ctx, 1, 2, 3); err != nil || got != 6 {
		t.Errorf("Sum = %v, %v", got, err)
	}
	divide := require[func(float64, float64) (float64, error)](t, h, "Calculator.Divide", host.WithCodec(codec))
	if _, err := divide(1, 0); status.Code(err) != codes.Unknown || status.Convert(err).Message() != "division by zero" {
		t.Errorf("Divide by 0: %v", err)
	}
	relay := require[func(context.Context, string, int) (int, error)](t, h, "Calculator.Relay", host.WithCodec(codec))
	if got, err := relay(ctx, codec, 21); err != nil || got != 42 {
		t.Errorf("Relay = %v, %v", got, err)
	}
	large := make([]byte, 300<<10)
	for i := range large {
		large[i] = byte(i * 7)
	}
	echo := require[func(context.Context, []byte) ([]byte, error)](t, h, "Calculator.Echo", host.WithCodec(codec))
	if got, err := echo(ctx, large); err != nil || string(got) != string(large) {
		t.Errorf("Echo of %d bytes: %d bytes, %v", len(large), len(got), err)
	}
}

// The death of a process fails the calls that it had taken at once, and its
// services are gone.
func TestChildKilled(t *testing.T) {
	directions(t, func(t *testing.T, h *host.Host, child *testproc.Proc, p parent) {
		hang := require[func(context.Context) error](t, h, "Calculator.Hang")
		ended := make(chan error)
		go func() { ended <- hang(testContext(t)) }()
		<-p.begun
		child.Kill()
		killed := time.Now()
		err := <-ended
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v, want Unavailable", err)
		}
		if took := time.Since(killed); took > 5*time.Second {
			t.Errorf("the call ended %v after its host", took)
		}
		for _, l := range h.Links() {
			<-l.Done()
		}
		if err := hang(testContext(t)); status.Code(err) != codes.Unavailable {
			t.Errorf("a call without a provider ended with %v, want Unavailable", err)
		}
	})
}
