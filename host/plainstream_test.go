package host_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// Streamer has streams of every form.
type Streamer struct {
	stopped chan string // who was stopped early
}

func (Streamer) Count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func (Streamer) Words(ctx context.Context, text string) (iter.Seq2[string, error], error) {
	if text == "" {
		return nil, errors.New("no text")
	}
	return func(yield func(string, error) bool) {
		for word := range strings.FieldsSeq(text) {
			if word == "oops" {
				yield("", errOutOfStock)
				return
			}
			if !yield(word, nil) {
				return
			}
		}
	}, nil
}

func (s Streamer) Ticks(ctx context.Context) <-chan int {
	c := make(chan int)
	go func() {
		defer close(c)
		for i := 0; ; i++ {
			select {
			case c <- i:
			case <-ctx.Done():
				s.stopped <- "Ticks"
				return
			}
		}
	}()
	return c
}

func (s Streamer) Forever() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		defer func() { s.stopped <- "Forever" }()
		for yield(make([]byte, 10_000)) {
		}
	}
}

func (Streamer) Sum(factor int, numbers iter.Seq[int]) int {
	sum := 0
	for n := range numbers {
		sum += n
	}
	return factor * sum
}

func (Streamer) First(ctx context.Context, numbers iter.Seq2[int, error]) (int, error) {
	for n, err := range numbers {
		return n, err
	}
	return 0, errors.New("none")
}

func (Streamer) Double(numbers iter.Seq[int]) iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := range numbers {
			if !yield(2 * n) {
				return
			}
		}
	}
}

func collect[T any](t *testing.T, items iter.Seq2[T, error]) (all []T, failed error) {
	t.Helper()
	for item, err := range items {
		if err != nil {
			return all, err
		}
		all = append(all, item)
	}
	return all, nil
}

// endless are numbers that never stop coming.
func endless(yield func(int) bool) {
	for i := 0; yield(i); i++ {
	}
}

// Functions whose results, or last parameter, are many values, over every wire and
// codec.
func TestStreamsOfValues(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		s := Streamer{stopped: make(chan string, 1)}
		export(t, exporter, "S", s)
		defer exporter.Unexport("S")
		for _, codec := range typedToo {
			t.Run(codec, func(t *testing.T) { streams(t, caller, s, host.WithCodec(codec)) })
		}
	})
}

func streams(t *testing.T, caller *host.Host, s Streamer, with host.SharedOption) {
	ctx := testContext(t)
	calls := require[struct {
		Count   func(context.Context, int, ...grpc.CallOption) (iter.Seq2[int, error], error)
		Words   func(string) iter.Seq2[string, error]
		Ticks   func() (iter.Seq2[int, error], error)
		Forever func() (iter.Seq2[[]byte, error], error)
		Sum     func(int, iter.Seq[int]) (int, error)
		First   func(iter.Seq[int]) (int, error)
		Double  func(context.Context, iter.Seq2[int, error]) (iter.Seq2[int, error], error)
	}](t, caller, "S", with)

	numbers, err := calls.Count(ctx, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collect(t, numbers); len(got) != 1000 || got[999] != 999 || err != nil {
		t.Errorf("%d numbers, %v", len(got), err)
	}
	_, err = collect(t, numbers)
	checkError(t, err, "ranged over once")

	words, err := collect(t, calls.Words("a b oops c"))
	if diff := cmp.Diff([]string{"a", "b"}, words); diff != "" || !errors.Is(err, errOutOfStock) {
		t.Errorf("words (-want +got):\n%s%v", diff, err)
	}
	if _, err := collect(t, calls.Words("")); err == nil || !strings.Contains(err.Error(), "no text") {
		t.Errorf("a function that fails: %v", err)
	}

	ticks, err := calls.Ticks()
	if err != nil {
		t.Fatal(err)
	}
	for n, err := range ticks {
		if err != nil {
			t.Error(err)
		}
		if n == 3 {
			break
		}
	}
	if who := receive(t, s.stopped, "the end of Ticks"); who != "Ticks" {
		t.Errorf("%s was stopped", who)
	}
	forever, err := calls.Forever()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range forever {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if who := receive(t, s.stopped, "the end of Forever"); who != "Forever" {
		t.Errorf("%s was stopped", who)
	}

	if got, err := calls.Sum(10, slices.Values([]int{1, 2, 3})); got != 60 || err != nil {
		t.Errorf("Sum: %v, %v", got, err)
	}
	if got, err := calls.Sum(10, nil); got != 0 || err != nil {
		t.Errorf("Sum of none: %v, %v", got, err)
	}
	// The callee is done before the caller is.
	if got, err := calls.First(endless); got != 0 || err != nil {
		t.Errorf("First: %v, %v", got, err)
	}
	doubles, err := calls.Double(ctx, func(yield func(int, error) bool) {
		for i := range endless {
			if !yield(i, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, err := range doubles {
		if err != nil {
			t.Error(err)
			break
		}
		if n == 20 {
			break
		}
	}
	doubles, err = calls.Double(ctx, func(yield func(int, error) bool) {
		_ = yield(1, nil) && yield(0, errOther)
	})
	if err == nil {
		_, err = collect(t, doubles)
	}
	if err == nil || !strings.Contains(err.Error(), errOther.Error()) {
		t.Errorf("a caller's stream that fails: %v", err)
	}
}

// Dynamic streams.
func TestStreamDynamic(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		export(t, exporter, "S", Streamer{}, host.WithMethodParams("Count", "n"))
		defer exporter.Unexport("S")
		require[func(int) iter.Seq2[int, error]](t, caller, "S.Count")
		for _, codec := range anyCodec {
			var got []int
			for n, err := range host.Stream[int](testContext(t), caller, "S.Count", host.Kwargs{"n": 5}, host.WithCodec(codec)) {
				if err != nil {
					t.Fatal(err)
				}
				if n == 3 {
					break
				}
				got = append(got, n)
			}
			if diff := cmp.Diff([]int{0, 1, 2}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", codec, diff)
			}
			for _, err := range host.Stream[string](testContext(t), caller, "S.Count", 5, host.WithCodec(codec)) {
				if status.Code(err) != codes.Internal {
					t.Errorf("numbers as text: %v", err)
				}
			}
		}
	})
}

// A stream from a caller that breaks off, or has something that doesn't fit, is not
// taken for a whole one.
func TestStreamBreaksOff(t *testing.T) {
	eachWire(t, func(t *testing.T, exporter, caller *host.Host) {
		// A value that can't travel is not the end of a stream that is whole.
		export(t, exporter, "odd", func() <-chan any {
			c := make(chan any, 2)
			c <- 1
			c <- func() {}
			close(c)
			return c
		})
		defer exporter.Unexport("odd")
		odd, err := require[func(context.Context) (iter.Seq2[any, error], error)](t, caller, "odd")(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := collect(t, odd); len(got) != 1 || status.Code(err) != codes.Internal {
			t.Errorf("a stream with a function in it: %v, %v", got, err)
		}
		saw, begun := make(chan error, 1), make(chan struct{}, 1)
		export(t, exporter, "sum", func(ctx context.Context, numbers iter.Seq[int8]) (int, error) {
			n := 0
			for range numbers {
				if n++; n == 1 {
					begun <- struct{}{}
				}
			}
			saw <- ctx.Err()
			return n, nil
		})
		defer exporter.Unexport("sum")
		sum := require[func(context.Context, iter.Seq[int]) (int, error)](t, caller, "sum")
		n, err := sum(testContext(t), slices.Values([]int{1, 300}))
		if status.Code(err) != codes.InvalidArgument || n != 0 {
			t.Errorf("300 as an int8: %v, %v", n, err)
		}
		checkError(t, err, "a value of the stream")
		if err := receive(t, saw, "the end of the function"); err == nil {
			t.Error("the function's context had not ended")
		}
		receive(t, begun, "the first value")
		ctx, cancel := context.WithCancel(testContext(t))
		_, err = sum(ctx, func(yield func(int) bool) {
			yield(1)
			select {
			case <-begun:
			case <-ctx.Done(): // the test has waited long enough
			}
			cancel()
			<-ctx.Done()
		})
		if status.Code(err) != codes.Canceled {
			t.Errorf("a cancelled call: %v", err)
		}
		if err := receive(t, saw, "the end of the function"); err == nil {
			t.Error("the function took the part for the whole")
		}
	})
}

func TestStreamSignatures(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	for want, fn := range map[string]any{
		"a stream of the caller's is an iter.Seq":      func(<-chan int) {},
		"which only the last parameter can be":         func(iter.Seq[int], int) {},
		"which only the only result can be":            func() (iter.Seq[int], int) { return nil, 0 },
		"chan int has no form on the wire":             func(iter.Seq[chan int]) {},
		"result 0: iter.Seq2[int,int] has no form":     func() iter.Seq2[int, int] { return nil },
		"result 0: chan<- int has no form on the wire": func() chan<- int { return nil },
	} {
		_, err := h.Export("f", fn)
		if err == nil {
			t.Errorf("%T is exported", fn)
			continue
		}
		if !strings.Contains(strings.ReplaceAll(err.Error(), "func(func(int, int) bool)", "iter.Seq2[int,int]"), want) {
			t.Errorf("%T: %v, want %q", fn, err, want)
		}
	}
	_, err := host.Require[func() (iter.Seq[int], error)](expired(), h, "f")
	checkError(t, err, "only an iter.Seq2[T, error] tells")
	export(t, h, "numbers", Streamer{}.Count)
	_, err = host.Require[func(int) (int, error)](expired(), h, "numbers")
	checkError(t, err, "result 1 is a stream on one side only")
	if err := host.Post(testContext(t), h, "numbers", 3); status.Code(err) != codes.InvalidArgument {
		t.Errorf("one-way: %v", err)
	}
}
