package host_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/carp-rpc/carp-go/host"
	"github.com/carp-rpc/carp-go/internal/leak"
)

// describe asks reflection for a service, as grpcurl does.
func describe(t *testing.T, conn *grpc.ClientConn, service string) protoreflect.ServiceDescriptor {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.CloseSend()
	err = stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	files := &descriptorpb.FileDescriptorSet{}
	for _, data := range r.GetFileDescriptorResponse().GetFileDescriptorProto() {
		fd := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(data, fd); err != nil {
			t.Fatal(err)
		}
		files.File = append(files.File, fd)
	}
	registry, err := protodesc.NewFiles(files)
	if err != nil {
		t.Fatalf("%v of %v, %v", err, files, r.GetErrorResponse())
	}
	desc, err := registry.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	return desc.(protoreflect.ServiceDescriptor)
}

// A client that knows protobuf and nothing else finds a Go function's messages by
// reflection, and calls it without any tag.
func TestTypedCalls(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	conn := newForeignClient(t, h).conn
	export(t, h, "Calc", Calculator{h}, host.WithMethodParams("Divide", "a", "b"))
	export(t, h, "Calc.Half", func(n int8) int8 { return n / 2 }) // changes the service
	service := describe(t, conn, "Calc")

	call := func(method string, arguments map[string]any) (any, error) {
		m := service.Methods().ByName(protoreflect.Name(method))
		if m == nil {
			t.Fatalf("reflection doesn't know %s", method)
		}
		request, reply := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
		for name, v := range arguments {
			request.Set(m.Input().Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(v))
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := conn.Invoke(ctx, "/Calc/"+method, request, reply)
		return reply.Get(m.Output().Fields().ByNumber(1)).Interface(), err
	}
	if got, err := call("Divide", map[string]any{"a": 3.0, "b": 2.0}); err != nil || got != 1.5 {
		t.Errorf("Divide = %v, %v", got, err)
	}
	if _, err := call("Divide", map[string]any{"a": 3.0}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an argument is missing: %v", err)
	}
	if got, err := call("Half", map[string]any{"arg0": int32(84)}); err != nil || got != int32(42) {
		t.Errorf("Half = %v, %v", got, err)
	}
	if _, err := call("Half", map[string]any{"arg0": int32(300)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("300 as an int8: %v", err)
	}
}

// A function that protobuf can't express is called with the other codecs, and
// says so.
func TestNoTypedForm(t *testing.T) {
	leak.Check(t)
	h := newHost(t, "h")
	export(t, h, "f", func([][]map[any]int) {})
	_, trailer, err := newForeignClient(t, h).call(testContext(t), "/f/call", tag{}, nil)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("%v, want Unimplemented", err)
	}
	if got := trailer.Get("carp-accept-codec"); len(got) != 1 || got[0] != "carp,msgpack,json" {
		t.Errorf("carp-accept-codec is %q", got)
	}
	_, err = host.Require[func([][]map[any]int) error](expired(), h, "f", host.WithCodec("proto"))
	checkError(t, err, "has no protobuf form")
}
