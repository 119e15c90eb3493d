package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/dialer"
	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// bytesCodec sends and receives bytes as they are, under a content-subtype.
type bytesCodec string

var _ encoding.CodecV2 = bytesCodec("")

func (c bytesCodec) Name() string { return string(c) }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// foreignClient is any gRPC client: it knows paths, metadata and bytes.
type foreignClient struct {
	conn *grpc.ClientConn
}

func newForeignClient(tb testing.TB, h *host.Host) foreignClient {
	tb.Helper()
	target, opts, err := dialer.GRPC(listen(tb, h, "unix"))
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return foreignClient{conn}
}

// tag is how a client says which codec it uses.
type tag struct {
	subtype  string // in the content-type; "" sends plain application/grpc
	metadata string // as carp-codec, unless ""
}

func (c foreignClient) call(ctx context.Context, path string, tag tag, body []byte) ([]byte, metadata.MD, error) {
	if tag.metadata != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "carp-codec", tag.metadata)
	}
	var reply []byte
	var trailer metadata.MD
	opts := []grpc.CallOption{grpc.Trailer(&trailer)}
	if tag.subtype != "" {
		opts = append(opts, grpc.ForceCodecV2(bytesCodec(tag.subtype)))
	} else {
		// A codec without a name leaves the content-type bare.
		opts = append(opts, grpc.ForceCodecV2(bytesCodec("")))
	}
	err := c.conn.Invoke(ctx, path, &body, &reply, opts...)
	return reply, trailer, err
}

func packed(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The codec of a call is named by its content-subtype, or else by metadata.
func TestCodecTags(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "add", func(a, b int) int { return a + b })
	c := newForeignClient(t, h)
	body, want := packed(t, []any{1, 2}), packed(t, 3)
	for _, tag := range []tag{
		{subtype: "msgpack"},
		{metadata: "msgpack"},
		{subtype: "msgpack", metadata: "msgpack"},
		{subtype: "msgpack", metadata: "json"}, // the subtype decides
	} {
		got, _, err := c.call(testContext(t), "/add/call", tag, body)
		if err != nil || string(got) != string(want) {
			t.Errorf("%+v: %x, %v", tag, got, err)
		}
	}
	for _, tag := range []tag{{subtype: "yaml"}, {metadata: "yaml"}, {metadata: "MSGPACK"}} {
		_, trailer, err := c.call(testContext(t), "/add/call", tag, body)
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%+v: %v, want Unimplemented", tag, err)
		}
		if accept := trailer.Get("carp-accept-codec"); len(accept) != 1 || !strings.Contains(accept[0], "msgpack") {
			t.Errorf("%+v: carp-accept-codec is %q", tag, accept)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "Calc", Calculator{})
	c := newForeignClient(t, h)
	for path, want := range map[string]string{
		"/Nix/Add":  "unknown service Nix",
		"/Calc/Nix": "unknown method Nix for service Calc",
		"/Calc/add": "unknown method add for service Calc", // names are exact
		"/add":      "malformed method name",
	} {
		_, _, err := c.call(testContext(t), path, tag{subtype: "msgpack"}, nil)
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, want Unimplemented", path, err)
		}
		checkError(t, err, want)
	}
}

// What arguments may look like, and what is said of those that don't fit.
func TestBodies(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	type options struct {
		Deep bool `json:"deep"`
	}
	export(t, h, "f", func(a int, b string, o *options, rest ...int8) string {
		return fmt.Sprintf("%v %v %v %v", a, b, o != nil && o.Deep, rest)
	}, host.WithParams("a", "b?", "o", "rest"))
	export(t, h, "p", func(p params) string { return fmt.Sprintf("%v %v", p.A, p.B) })
	export(t, h, "none", func() {})
	c := newForeignClient(t, h)

	type m = map[string]any
	type l = []any
	tests := []struct {
		name, f string
		body    any
		want    string
		err     string
	}{
		{"positional", "f", l{1, "x", nil, 3, 4}, "1 x false [3 4]", ""},
		{"the optional ones left out", "f", l{1}, "1  false []", ""},
		{"by name", "f", m{"b": "x", "a": 1}, "1 x false []", ""},
		{"a struct", "f", l{1, "x", m{"deep": true}}, "1 x true []", ""},
		{"the tail by name", "f", m{"a": 1, "rest": l{5, 6}}, "1  false [5 6]", ""},
		{"mixed", "f", m{"*": l{1}, "b": "x"}, "1 x false []", ""},
		{"mixed, nothing positional", "f", m{"*": l{}, "a": 1}, "1  false []", ""},
		{"fields in order", "p", l{1, 2}, "1 2", ""},
		{"fields by name", "p", m{"a": 1}, "1 0", ""},

		{"missing", "f", l{}, "", `argument "a" is missing: it takes a, b, o, rest`},
		{"missing by name", "f", m{"b": "x"}, "", `argument "a" is missing`},
		{"unknown", "f", m{"a": 1, "c": 1}, "", `there is no parameter "c"`},
		{"twice", "f", m{"*": l{1}, "a": 2}, "", `argument "a" is given twice`},
		{"too many", "p", l{1, 2, 3}, "", "too many arguments: it takes a, b"},
		{"any at all", "none", l{1}, "", "too many arguments: it takes none"},
		{"no list", "f", 1, "", "the arguments"},
		{"null for a number", "f", l{nil}, "", `argument "a": want int, got null`},
		{"a string for a number", "f", l{"1"}, "", `argument "a": want int, got string`},
		{"bytes for a string", "f", l{1, []byte("x")}, "", `argument "b": want string, got bytes`},
		{"out of range", "f", l{1, "x", nil, 300}, "", `argument "rest": want int8, got 300`},
		{"out of range by name", "f", m{"a": 1, "rest": l{1, -129}}, "", `argument "rest": [1]: want int8, got -129`},
		{"not exact", "f", l{1.5}, "", `argument "a": want int, got`},
		{"an unknown field", "f", l{1, "x", m{"Deep": true}}, "", `argument "o"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, trailer, err := c.call(testContext(t), "/"+test.f+"/call", tag{metadata: "msgpack"}, packed(t, test.body))
			checkError(t, err, test.err)
			if test.err == "" {
				if diff := cmp.Diff(packed(t, test.want), got); diff != "" {
					t.Errorf("reply (-want +got):\n%s", diff)
				}
				return
			}
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("code %v, want InvalidArgument", status.Code(err))
			}
			if diff := cmp.Diff([]string{"carp.BindError"}, trailer.Get("carp-exception")); diff != "" {
				t.Errorf("carp-exception (-want +got):\n%s", diff)
			}
		})
	}
}

// An empty body is no arguments; a result that isn't there is null.
func TestEmptyBody(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "none", func() {})
	c := newForeignClient(t, h)
	got, _, err := c.call(testContext(t), "/none/call", tag{subtype: "msgpack"}, nil)
	if err != nil || string(got) != "\xc0" {
		t.Errorf("%x, %v", got, err)
	}
}

// Bodies that would kill a careless decoder.
func TestHostileBodies(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "any", func(...any) {})
	export(t, h, "ints", func([]int) {})
	c := newForeignClient(t, h)
	for name, body := range map[string][]byte{
		"a long array":     {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a long map":       {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a long string":    {0x91, 0xdb, 0xff, 0xff, 0xff, 0xff},
		"deep":             []byte(strings.Repeat("\x91", 4<<20-64)),
		"two values":       {0x90, 0x90},
		"an invalid byte":  {0xc1},
		"a key twice":      {0x82, 0xa1, 'a', 1, 0xa1, 'a', 1},
		"a map as a key":   {0x91, 0x81, 0x80, 1},
		"an array in ints": {0x91, 0xdd, 0x7f, 0xff, 0xff, 0xff},
	} {
		for _, path := range []string{"/any/call", "/ints/call"} {
			_, _, err := c.call(testContext(t), path, tag{subtype: "msgpack"}, body)
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s to %s: %v, want InvalidArgument", name, path, err)
			}
		}
	}
}

type customError struct{ code int }

func (e customError) Error() string { return fmt.Sprintf("custom %d", e.code) }

type brokenError struct{ text *string }

func (e *brokenError) Error() string { return *e.text }

// What becomes of the error that a function returns.
func TestErrors(t *testing.T) {
	leak.Check(t)
	server, client := linked(t, host.WithHooks(host.Hooks{Panic: func(context.Context, host.PanicInfo) {}}))
	long := strings.Repeat("ä", 5000)
	errs := map[string]func() error{
		"plain":    func() error { return errors.New("boom") },
		"custom":   func() error { return customError{7} },
		"status":   func() error { return status.Error(codes.NotFound, "gone") },
		"wrapped":  func() error { return fmt.Errorf("so: %w", status.Error(codes.NotFound, "gone")) },
		"deadline": func() error { return context.DeadlineExceeded },
		"canceled": func() error { return fmt.Errorf("so: %w", context.Canceled) },
		"panic":    func() error { panic("secret") },
		"broken":   func() error { return (*brokenError)(nil) },
		"long":     func() error { return errors.New(long) },
	}
	tests := []struct {
		name      string
		code      codes.Code
		text      string
		exception string
	}{
		{"plain", codes.Unknown, "boom", "errors.errorString"},
		{"custom", codes.Unknown, "custom 7", "host_test.customError"},
		{"status", codes.NotFound, "gone", "status.Error"},
		{"wrapped", codes.NotFound, "so: ", "fmt.wrapError"},
		{"deadline", codes.DeadlineExceeded, "deadline", "context.deadlineExceededError"},
		{"canceled", codes.Canceled, "so: context canceled", "fmt.wrapError"},
		{"panic", codes.Internal, "fail panicked", "panic"},
		{"broken", codes.Internal, "fail panicked", "panic"},
		{"long", codes.Unknown, "…(cut)", "errors.errorString"},
	}
	fail := func(name string) error { return errs[name]() }
	export(t, server, "fail", fail)
	export(t, client, "failBack", fail)
	for direction, call := range map[string]func(string) error{
		"forward": require[func(string) error](t, client, "fail"),
		"back":    require[func(string) error](t, server, "failBack"),
		"local":   require[func(string) error](t, server, "fail"),
	} {
		for _, test := range tests {
			t.Run(direction+"/"+test.name, func(t *testing.T) {
				err := call(test.name)
				var e *host.Error
				if !errors.As(err, &e) {
					t.Fatalf("%v is a %T, want a *host.Error", err, err)
				}
				if e.Code() != test.code || e.Exception() != test.exception || !e.Remote() {
					t.Errorf("%v %q remote=%v, want %v %q", e.Code(), e.Exception(), e.Remote(), test.code, test.exception)
				}
				text := strings.Replace(test.text, "fail panicked", "panicked", 1)
				if !strings.Contains(e.Message(), text) || len(e.Message()) > 6<<10 {
					t.Errorf("message %q, want %q", e.Message(), text)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the text %q tells what the function panicked with", err)
				}
				if st, ok := status.FromError(err); !ok || st.Code() != test.code {
					t.Errorf("status.FromError: %v, %v", st, ok)
				}
			})
		}
	}
}

// A panic is told to the hook, with the stack, and nobody else.
func TestPanicHook(t *testing.T) {
	got := make(chan host.PanicInfo, 1)
	h := newHost(t, "h", host.WithHooks(host.Hooks{Panic: func(_ context.Context, p host.PanicInfo) { got <- p }}))
	export(t, h, "f", func() { panic("secret") })
	if _, err := host.Call[any](testContext(t), h, "f"); status.Code(err) != codes.Internal {
		t.Errorf("%v, want Internal", err)
	}
	p := <-got
	if p.Path != "/f/call" || p.Value != "secret" || !strings.Contains(string(p.Stack), "TestPanicHook") {
		t.Errorf("hook got %q %v %s", p.Path, p.Value, p.Stack)
	}
}

// Deadlines and cancellation reach the function, in every direction.
func TestContexts(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	type seen struct {
		deadline bool
		err      error
	}
	ended := make(chan seen, 1)
	begun := make(chan struct{}, 1)
	wait := func(ctx context.Context) error {
		_, ok := ctx.Deadline()
		begun <- struct{}{}
		<-ctx.Done()
		ended <- seen{ok, ctx.Err()}
		return ctx.Err()
	}
	export(t, server, "wait", wait)
	export(t, client, "waitBack", wait)
	type waiter = func(context.Context) error
	for direction, call := range map[string]waiter{
		"forward": require[waiter](t, client, "wait"),
		"back":    require[waiter](t, server, "waitBack"),
		"local":   require[waiter](t, server, "wait"),
	} {
		t.Run(direction+"/deadline", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the call must arrive before
			defer cancel()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller got %v", err)
			}
			<-begun
			if got := <-ended; !got.deadline {
				t.Error("the function's context had no deadline")
			}
		})
		t.Run(direction+"/cancel", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-begun
				cancel()
			}()
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller got %v", err)
			}
			if got := <-ended; !errors.Is(got.err, context.Canceled) {
				t.Errorf("the function's context ended with %v", got.err)
			}
		})
	}
}

// Metadata goes both ways in every direction, as gRPC users know it.
func TestMetadata(t *testing.T) {
	leak.Check(t)
	server, client := linked(t)
	type callerKey struct{}
	echo := func(ctx context.Context) ([]byte, error) {
		if ctx.Value(callerKey{}) != nil {
			return nil, errors.New("the caller's context values have come along")
		}
		in, _ := metadata.FromIncomingContext(ctx)
		key := in.Get("key-bin")
		if err := grpc.SetHeader(ctx, metadata.Pairs("head-bin", "h\x00")); err != nil {
			return nil, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("trail", "t")); err != nil {
			return nil, err
		}
		if err := grpc.SetHeader(ctx, metadata.Pairs("carp-x", "")); status.Code(err) != codes.InvalidArgument {
			return nil, fmt.Errorf("a reserved key was taken: %v", err)
		}
		return []byte(strings.Join(key, ",")), nil
	}
	export(t, server, "echo", echo)
	export(t, client, "echoBack", echo)
	type echoer = func(context.Context, ...grpc.CallOption) ([]byte, error)
	for direction, call := range map[string]echoer{
		"forward": require[echoer](t, client, "echo"),
		"back":    require[echoer](t, server, "echoBack"),
		"local":   require[echoer](t, server, "echo"),
	} {
		t.Run(direction, func(t *testing.T) {
			ctx := context.WithValue(testContext(t), callerKey{}, true)
			ctx = metadata.AppendToOutgoingContext(ctx, "key-bin", "\x00\xff", "key-bin", "2")
			var header, trailer metadata.MD
			got, err := call(ctx, grpc.Header(&header), grpc.Trailer(&trailer))
			if err != nil || string(got) != "\x00\xff,2" {
				t.Errorf("%q, %v", got, err)
			}
			if h := header.Get("head-bin"); len(h) != 1 || h[0] != "h\x00" {
				t.Errorf("header %q", h)
			}
			if tr := trailer.Get("trail"); len(tr) != 1 || tr[0] != "t" {
				t.Errorf("trailer %q", tr)
			}
			_, err = call(metadata.AppendToOutgoingContext(ctx, "carp-codec", "json"))
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("a reserved key was sent: %v", err)
			}
		})
	}
}
