package host_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/carp-rpc/carp-go/codecs/value"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

type (
	point    struct{ X, Y float64 }
	tree     struct{ Children []*tree }
	hidden   struct{ x int }
	withChan struct{ C chan int }
	level    int
	params   struct {
		host.Params
		A int `json:"a"`
		B int `json:"b" carp:"optional"`
	}
	paramsTwice struct {
		host.Params
		A int `json:"a"`
		B int `msgpack:"a"`
	}
)

func (level) MarshalText() ([]byte, error) { return nil, nil }
func (*level) UnmarshalText([]byte) error  { return nil }

// Which functions can be exported, and why not.
func TestExportSignatures(t *testing.T) {
	tests := []struct {
		name string
		fn   any
		opts []host.ExportOption
		want string // part of the error; "" is legal
	}{
		{"nothing in, nothing out", func() {}, nil, ""},
		{"context and error", func(context.Context) error { return nil }, nil, ""},
		{"scalars", func(bool, int8, uint64, float32, string, []byte) {}, nil, ""},
		{"variadic", func(context.Context, ...string) (int, error) { return 0, nil }, nil, ""},
		{"several results", func() (int, string, error) { return 0, "", nil }, nil, ""},
		{"composites", func(point, *point, []point, [3]int, map[string]point, map[int][]byte) {}, nil, ""},
		{"dynamic", func(any, []any, map[any]any) any { return nil }, nil, ""},
		{"a type that contains itself", func(tree) {}, nil, ""},
		{"times and dates", func(time.Time, time.Duration, value.Date) {}, nil, ""},
		{"protobuf", func(*durationpb.Duration) (*durationpb.Duration, error) { return nil, nil }, nil, ""},
		{"a type that marshals itself", func(level) {}, nil, ""},
		{"a struct of parameters", func(context.Context, params) {}, nil, ""},
		{"named parameters", func(int, *int, ...int) {}, []host.ExportOption{host.WithParams("a", "b?", "rest")}, ""},

		{"nil", nil, nil, "nothing to call"},
		{"a nil function", (func())(nil), nil, "nothing to call"},
		{"a channel", func(chan int) {}, nil, "chan int has no form on the wire"},
		{"a channel inside", func([]map[string]withChan) {}, nil, "field C"},
		{"a function", func(func()) {}, nil, "the callback func(): its last result is not an error"},
		{"a complex result", func() complex128 { return 0 }, nil, "result 0: complex128"},
		{"a pointer as a number", func(uintptr) {}, nil, "uintptr"},
		{"an unsafe pointer", takesUnsafePointer(), nil, "unsafe.Pointer"},
		{"a pointer to a pointer", func(**int) {}, nil, "pointer to a pointer"},
		{"an interface with methods", func(io.Reader) {}, nil, "io.Reader is an interface with methods"},
		{"a context in the middle", func(int, context.Context) {}, nil, "only as the first parameter"},
		{"an error in the middle", func() (error, int) { return nil, 0 }, nil, "only as the last result"},
		{"an error as a parameter", func(error) {}, nil, "only as the last result"},
		{"a struct without exported fields", func(hidden) {}, nil, "has no exported fields"},
		{"keys that aren't scalars", func(map[[2]int]int) {}, nil, "keys of type [2]int"},
		{"call options", func(...grpc.CallOption) {}, nil, "only a required function takes"},
		{"too few names", func(int, int) {}, []host.ExportOption{host.WithParams("a")}, "1 parameter names are given for 2"},
		{"a name twice", func(int, int) {}, []host.ExportOption{host.WithParams("a", "a")}, `two parameters are named "a"`},
		{"a name that is none", func(int) {}, []host.ExportOption{host.WithParams("a b")}, "not an identifier"},
		{"a struct of parameters with a name twice", func(paramsTwice) {}, nil, `two parameters are named "a"`},
		{"names for a struct of parameters", func(params) {}, []host.ExportOption{host.WithParams("a")}, "fields"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := newHost(t, "h").Export("f", test.fn, test.opts...)
			checkError(t, err, test.want)
		})
	}
}

// checkError wants an error that contains a text, or none if the text is empty.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && err == nil:
		t.Errorf("no error, want one about %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error %q, want one about %q", err, want)
	}
}

func TestExportNames(t *testing.T) {
	for name, want := range map[string]string{
		"f": "", "a.b": "", "a.b.C": "", "_x9": "",
		"": "no name", "a.": "no name", ".a": "no name", "a/b": "no name",
		"a b": "no name", "9a": "no name", "ä": "no name", "*": "no name",
	} {
		_, err := newHost(t, "h").Export(name, func() {})
		checkError(t, err, want)
	}
}

type base struct{}

func (base) Inherited() {}

// service has methods of every kind.
type service struct {
	base
	*sync.Mutex
	*http.Client
}

func (service) Value(int) int                 { return 0 }
func (*service) Pointer() error               { return nil }
func (*service) Unfit(chan int)               {}
func (*service) Close() error                 { return nil }
func (*service) String() string               { return "" }
func (*service) MarshalJSON() ([]byte, error) { return nil, nil }
func (*service) unexported()                  {}

// Do hides the method of the embedded client: it is the service's own.
func (*service) Do(string) {}

func TestExportMethods(t *testing.T) {
	e := export(t, newHost(t, "h"), "S", &service{})
	if diff := cmp.Diff([]string{"S.Do", "S.Inherited", "S.Pointer", "S.Value"}, e.Methods); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	skipped := make(map[string]string)
	for _, s := range e.Skipped {
		skipped[s.Method] = s.Reason
	}
	for method, reason := range map[string]string{
		"Lock":        "convention",
		"Close":       "convention",
		"String":      "convention",
		"MarshalJSON": "convention",
		"Unfit":       "chan int",
		"Get":         "embedded http.Client",
	} {
		if !strings.Contains(skipped[method], reason) {
			t.Errorf("%s was skipped for %q, want a reason with %q", method, skipped[method], reason)
		}
	}
	(*service)(nil).unexported()
}

// A value without its pointer has only the methods that values have.
func TestExportValueMethods(t *testing.T) {
	e := export(t, newHost(t, "h"), "C", Calculator{})
	if !slices.Contains(e.Methods, "C.Add") {
		t.Errorf("methods %v lack C.Add", e.Methods)
	}
}

func TestExportNothingFits(t *testing.T) {
	_, err := newHost(t, "h").Export("M", &sync.Mutex{})
	checkError(t, err, "no method that can be exported; Lock: it is called by convention")
	_, err = newHost(t, "h").Export("N", 42)
	checkError(t, err, "int has no method")
}

func TestExportOptionsThatDontApply(t *testing.T) {
	_, err := newHost(t, "h").Export("C", Calculator{}, host.WithParams("a"))
	checkError(t, err, "WithMethodParams")
	_, err = newHost(t, "h").Export("C", Calculator{}, host.WithMethodParams("Nix", "a"))
	checkError(t, err, "method Nix, which isn't exported")
	_, err = newHost(t, "h").Export("f", func(int) {}, host.WithMethodParams("Add", "a"))
	checkError(t, err, "WithParams")
}

// A path leads to one thing only.
func TestExportTwice(t *testing.T) {
	h := newHost(t, "h")
	export(t, h, "f", func() {})
	export(t, h, "S", Calculator{})
	export(t, h, "S.Extra", func() int { return 7 })
	greeterpb.RegisterGreeterServer(h, greeterpb.UnimplementedGreeterServer{})

	_, err := h.Export("f", func() {})
	checkError(t, err, "name is taken")
	_, err = h.Export("S.Add", func() {})
	checkError(t, err, "/S/Add is taken")
	_, err = h.Export("f.call", func() {})
	checkError(t, err, "a function already")
	_, err = h.Export("carp.examples.greeter.v1.Greeter", Calculator{})
	checkError(t, err, "taken")
	_, err = h.Export("carp.examples.greeter.v1.Greeter.Extra", func() {})
	checkError(t, err, "generated service")
	err = h.ExportService(&greeterpb.Greeter_ServiceDesc, greeterpb.UnimplementedGreeterServer{})
	checkError(t, err, "taken")
	err = h.ExportService(&greeterpb.Greeter_ServiceDesc, 42)
	checkError(t, err, "int doesn't implement")
}

func TestUnexport(t *testing.T) {
	h := newHost(t, "h")
	export(t, h, "S", Calculator{})
	export(t, h, "S.Extra", func() int { return 7 })
	if err := h.Unexport("S"); err != nil {
		t.Fatal(err)
	}
	if got, err := host.Call[int](testContext(t), h, "S.Extra"); err != nil || got != 7 {
		t.Errorf("S.Extra after Unexport of S: %v, %v", got, err)
	}
	_, err := host.Call[int](testContext(t), h, "S.Add", 1, 2)
	checkError(t, err, "no host exports S.Add")
	checkError(t, h.Unexport("S"), "nothing is exported")
	checkError(t, h.Unexport("grpc.health.v1.Health"), "nothing is exported")
	export(t, h, "S", Calculator{})
}

// RegisterService has no way to return an error; what follows returns it.
func TestRegisterServiceTwice(t *testing.T) {
	h := newHost(t, "h")
	greeterpb.RegisterGreeterServer(h, greeterpb.UnimplementedGreeterServer{})
	greeterpb.RegisterGreeterServer(h, greeterpb.UnimplementedGreeterServer{})
	_, err := h.Listen(testContext(t), newTarget(t, "unix"))
	checkError(t, err, "the name is taken")
}

// takesUnsafePointer is a func(unsafe.Pointer), made without package unsafe.
func takesUnsafePointer() any {
	pointer := reflect.TypeOf(reflect.Value.UnsafePointer).Out(0)
	f := reflect.FuncOf([]reflect.Type{pointer}, nil, false)
	return reflect.MakeFunc(f, func([]reflect.Value) []reflect.Value { return nil }).Interface()
}
