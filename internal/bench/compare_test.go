package bench_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/internal/bench"
)

// suite has a server that does nothing and a client that waits for as long as
// its case says, or fails.
var suite = bench.Suite{
	Server: func(ctx context.Context, _ bench.Case, ready func()) error {
		ready()
		<-ctx.Done()
		return nil
	},
	Client: func(_ context.Context, c bench.Case) (bench.Load, error) {
		pause := time.Duration(c.Int("pause"))
		return bench.Load{Do: func(int) error {
			if c.Stack == "broken" {
				return errors.New("wrong echo")
			}
			for start := time.Now(); time.Since(start) < pause; {
			}
			return nil
		}}, nil
	},
}

func TestMain(m *testing.M) {
	if os.Getenv("CARP_BENCH_CHILD") != "" {
		bench.Main(suite)
	}
	os.Exit(m.Run())
}

// plan measures for longer than a loaded machine keeps a process from running.
var plan = bench.Plan{
	Times:  bench.Times{Warm: time.Millisecond, Measure: 250 * time.Millisecond},
	Rounds: 2, Repeats: 1, Quiet: 0.15,
}

func TestCompare(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each child takes a second to exit
	cases := []bench.Case{
		bench.Case{Stack: "slow"}.With("pause", "400000"),
		bench.Case{Stack: "fast", Callers: 2}.With("pause", "50000"),
	}
	row, err := bench.Compare(t.Context(), plan, cases)
	if err != nil {
		t.Fatal(err)
	}
	if len(row.Rounds) != plan.Rounds {
		t.Errorf("%d rounds, want %d", len(row.Rounds), plan.Rounds)
	}
	p50 := func(r bench.Result) float64 { return float64(r.P50) }
	if got := row.Median(0, p50); got < 400_000 {
		t.Errorf("p50 of the slow one: %v ns, can't be below its pause", got)
	}
	if got := row.Ratio(1, p50); got <= 0 || got >= 1 {
		t.Errorf("ratio of the fast to the slow one: %v, want between 0 and 1", got)
	}
	var out bytes.Buffer
	if err := bench.WriteRow(&out, "pauses", row); err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`fast pause=50000 .*µs \(0\.\d+×\)`); !want.MatchString(out.String()) {
		t.Errorf("table has no line %v:\n%s", want, &out)
	}
}

// TestChildFails wants the words of the process that failed.
func TestChildFails(t *testing.T) {
	_, err := bench.Compare(t.Context(), plan, []bench.Case{{Stack: "broken"}})
	if err == nil || !strings.Contains(err.Error(), "client broken: wrong echo") {
		t.Errorf("got error %v, want the client's", err)
	}
}
