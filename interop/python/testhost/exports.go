package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// export exports everything that the tests call.
func export(h *host.Host) error {
	r := &reverse{host: h}
	w := newWaiting()
	errs := []error{
		h.ExportService(&greeterpb.Greeter_ServiceDesc, greeter{waiting: w}),
		h.ExportService(&testpb.TestService_ServiceDesc, testService{}),
	}
	for _, e := range []struct {
		name string
		v    any
		opts []host.ExportOption
	}{
		{name: "Calculator", v: calculator{}, opts: []host.ExportOption{
			host.WithMethodParams("Add", "a", "b"),
			host.WithMethodParams("Div", "a", "b"),
		}},
		{name: "Typed", v: typed{}},
		{name: "Failing", v: failing{}},
		{name: "Python", v: r},
		{name: "echo", v: func(v any) any { return v }, opts: []host.ExportOption{host.WithParams("value")}},
		{name: "nothing", v: func() {}},
		{name: "blob", v: func(size int) []byte { return make([]byte, size) }},
		{name: "length", v: func(data []byte) int { return len(data) }},
		{name: "headers", v: headers},
		{name: "waiting", v: w},
	} {
		_, err := h.Export(e.name, e.v, e.opts...)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, exportObjects(h))...)
}

type calculator struct{}

func (calculator) Add(a, b int64) int64 { return a + b }

func (calculator) Div(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

func (calculator) DivMod(a, b int64) (quotient, rest int64) { return a / b, a % b }

func (calculator) Sum(numbers ...int64) (total int64) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// typed returns its arguments, having had them in a Go variable of some type.
type typed struct{}

// Point is a struct on the wire.
type Point struct {
	X     int32    `json:"x"`
	Y     int32    `json:"y"`
	Label string   `json:"label"`
	Tags  []string `json:"tags"`
}

func (typed) Bool(v bool) bool                             { return v }
func (typed) Int8(v int8) int8                             { return v }
func (typed) Int64(v int64) int64                          { return v }
func (typed) Uint64(v uint64) uint64                       { return v }
func (typed) Float32(v float32) float32                    { return v }
func (typed) Float64(v float64) float64                    { return v }
func (typed) Text(v string) string                         { return v }
func (typed) Bytes(v []byte) []byte                        { return v }
func (typed) Time(v time.Time) time.Time                   { return v }
func (typed) Date(v value.Date) value.Date                 { return v }
func (typed) Civil(v value.DateTime) value.DateTime        { return v }
func (typed) Point(v Point) Point                          { return v }
func (typed) Points(v []Point) []Point                     { return v }
func (typed) Optional(v *int64) *int64                     { return v }
func (typed) ByName(v map[string]int64) map[string]int64   { return v }
func (typed) ByNumber(v map[int64]string) map[int64]string { return v }

type failing struct{}

func (failing) Path() error {
	return &fs.PathError{Op: "open", Path: "/none", Err: fs.ErrNotExist}
}

func (failing) Status() error {
	st, err := status.New(codes.FailedPrecondition, "not now").WithDetails(wrapperspb.String("busy"))
	if err != nil {
		return err
	}
	return st.Err()
}

func (failing) Panic() { panic("oh") }

func (failing) Long(size int) error { return fmt.Errorf("%0*d", size, 1) }

// headers returns the caller's metadata, and answers with a header and a trailer.
func headers(ctx context.Context) (map[string][]any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	seen := make(map[string][]any, len(md))
	for key, values := range md {
		for _, v := range values {
			if strings.HasSuffix(key, "-bin") {
				seen[key] = append(seen[key], []byte(v))
			} else {
				seen[key] = append(seen[key], v)
			}
		}
	}
	err := errors.Join(
		grpc.SetHeader(ctx, metadata.Pairs("h", "1")),
		grpc.SetTrailer(ctx, metadata.Pairs("t", "2")))
	return seen, err
}

// waiting has a function that waits until its caller gives up, and one that
// waits until that has happened.
type waiting struct {
	begun, ended chan struct{}
}

func newWaiting() waiting {
	return waiting{begun: make(chan struct{}, 16), ended: make(chan struct{}, 16)}
}

func (w waiting) Wait(ctx context.Context) error {
	w.begun <- struct{}{}
	<-ctx.Done()
	w.ended <- struct{}{}
	return ctx.Err()
}

func (w waiting) Begun(ctx context.Context) error { return receive(ctx, w.begun) }
func (w waiting) Ended(ctx context.Context) error { return receive(ctx, w.ended) }

func receive(ctx context.Context, from <-chan struct{}) error {
	select {
	case <-from:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type greeter struct {
	waiting waiting
	greeterpb.UnimplementedGreeterServer
}

// GreetAll reports in waiting.Ended when its caller is gone.
func (g greeter) GreetAll(stream greeterpb.Greeter_GreetAllServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			g.waiting.ended <- struct{}{}
			return err
		}
		reply, err := g.Greet(stream.Context(), r)
		if err == nil {
			err = stream.Send(reply)
		}
		if err != nil {
			return err
		}
	}
}

func (greeter) Greet(_ context.Context, r *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "the name is empty")
	}
	return &greeterpb.GreetReply{Text: "Hello, " + r.GetName() + "!"}, nil
}
