// Command descriptors prints, as one google.protobuf.FileDescriptorSet, the
// descriptors of what the tests of other languages call, so that these need
// neither protoc nor copies of .proto files.
package main

import (
	"fmt"
	"os"

	_ "google.golang.org/grpc/interop/grpc_testing"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	_ "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/examples/greeterpb"
)

// The services and messages that are described, with all that they need.
var described = []protoreflect.FullName{
	protoreflect.FullName(greeterpb.Greeter_ServiceDesc.ServiceName),
	"carp.v1.Peer",
	"google.protobuf.StringValue",
	"google.rpc.Status",
	"grpc.reflection.v1.ServerReflection",
	"grpc.testing.TestService",
}

func main() {
	set, err := describe()
	if err == nil {
		var data []byte
		if data, err = proto.Marshal(set); err == nil {
			_, err = os.Stdout.Write(data)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "descriptors:", err)
		os.Exit(1)
	}
}

func describe() (*descriptorpb.FileDescriptorSet, error) {
	set := &descriptorpb.FileDescriptorSet{}
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		imports := file.Imports() // come first, for readers that need it
		for i := range imports.Len() {
			add(imports.Get(i))
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	for _, name := range described {
		descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return nil, err
		}
		add(descriptor.ParentFile())
	}
	return set, nil
}
