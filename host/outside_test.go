package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// reflector is what a client that knows nothing learns by reflection, as grpcurl
// does.
type reflector struct {
	tb     testing.TB
	stream grpc.BidiStreamingClient[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse]
}

func newReflector(tb testing.TB, conn *grpc.ClientConn) reflector {
	tb.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return reflector{tb, stream}
}

func (r reflector) ask(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
	r.tb.Helper()
	if err := r.stream.Send(q); err != nil {
		r.tb.Fatal(err)
	}
	answer, err := r.stream.Recv()
	if err != nil {
		r.tb.Fatal(err)
	}
	return answer
}

func (r reflector) list() (names []string) {
	answer := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	})
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// describe returns the descriptor of a service, made only of what the server says.
func (r reflector) describe(service string) protoreflect.ServiceDescriptor {
	r.tb.Helper()
	answer := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	set := new(descriptorpb.FileDescriptorSet)
	for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(raw, file); err != nil {
			r.tb.Fatal(err)
		}
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		r.tb.Fatalf("%s: %v; %v", service, err, answer)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		r.tb.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor)
}

// callDescribed calls a method of two integers by its descriptor.
func callDescribed(tb testing.TB, conn *grpc.ClientConn, sd protoreflect.ServiceDescriptor, method string, a, b int64) string {
	tb.Helper()
	md := sd.Methods().ByName(protoreflect.Name(method))
	if md == nil {
		tb.Fatalf("%v has no method %s", sd.FullName(), method)
	}
	in, out := dynamicpb.NewMessage(md.Input()), dynamicpb.NewMessage(md.Output())
	in.Set(md.Input().Fields().ByName("a"), protoreflect.ValueOfInt64(a))
	in.Set(md.Input().Fields().ByName("b"), protoreflect.ValueOfInt64(b))
	path := "/" + string(sd.FullName()) + "/" + method
	if err := conn.Invoke(testContext(tb), path, in, out); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return out.Get(md.Output().Fields().ByName("result")).String()
}

// A client that knows only gRPC's reflection finds, understands and calls plain Go
// functions, also those that are exported later, or again with another signature.
func TestReflectionOfFunctions(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	conn := newForeignClient(t, h).conn
	ab := host.WithParams("a", "b")
	export(t, h, "Calculator.Add", func(a, b int64) int64 { return a + b }, ab)
	r := newReflector(t, conn)
	if got := callDescribed(t, conn, r.describe("Calculator"), "Add", 1<<53, 1); got != "9007199254740993" {
		t.Errorf("Add = %s", got)
	}
	export(t, h, "late.pkg.Calculator.Mul", func(a, b int64) int64 { return a * b }, ab)
	export(t, h, "minus", func(a, b int64) int64 { return a - b }, ab)
	for _, want := range []string{"Calculator", "late.pkg.Calculator", "minus"} {
		if names := r.list(); !slices.Contains(names, want) {
			t.Errorf("reflection lists %v, without %s", names, want)
		}
	}
	if got := callDescribed(t, conn, r.describe("late.pkg.Calculator"), "Mul", 6, 7); got != "42" {
		t.Errorf("Mul = %s", got)
	}
	if got := callDescribed(t, conn, r.describe("minus"), "call", 3, 5); got != "-2" {
		t.Errorf("minus = %s", got)
	}
	// Another method in the same service, and another signature of the first.
	export(t, h, "Calculator.Sub", func(a, b int64) int64 { return a - b }, ab)
	export(t, h, "Calculator.Add", func(a, b int64) string { return "sum" }, ab, host.WithReplace())
	// On one stream reflection sends a file once: whoever wants to know anew asks anew.
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	r = newReflector(t, conn)
	sd := r.describe("Calculator")
	if got := callDescribed(t, conn, sd, "Sub", 1, 2); got != "-1" {
		t.Errorf("Sub = %s", got)
	}
	if got := callDescribed(t, conn, sd, "Add", 1, 2); got != "sum" {
		t.Errorf("Add after the change = %s", got)
	}
	if err := h.Unexport("minus"); err != nil {
		t.Fatal(err)
	}
	if names := r.list(); slices.Contains(names, "minus") {
		t.Errorf("reflection lists %v, with what is no more", names)
	}
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func TestWriteProto(t *testing.T) {
	h := newHost(t, "h")
	type Point struct {
		X, Y float64
	}
	export(t, h, "geo.Plane.Distance", func(a, b Point) float64 { return 0 }, host.WithParams("a", "b"))
	dir := filepath.Join(t.TempDir(), "new")
	paths, err := h.WriteProto(dir, "geo.Plane")
	if err != nil {
		t.Fatal(err)
	}
	written := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		written[path] = string(text)
	}
	want, err := h.ProtoSource("geo.Plane")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, written); diff != "" || len(want) == 0 {
		t.Errorf("-want +got: %s", diff)
	}
	_, err = h.WriteProto(dir, "nobody")
	checkError(t, err, "nobody")
	_, err = h.WriteProto(dir, "grpc.health.v1.Health")
	checkError(t, err, ".proto")
	export(t, h, "matrix", func([][]int) {})
	_, err = h.WriteProto(dir, "matrix")
	checkError(t, err, "can't express")
}
