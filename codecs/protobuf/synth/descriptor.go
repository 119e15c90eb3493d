package synth

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// finish makes the descriptors: a file with the messages, and one with the
// service, whose package is that of the service's path.
//
// The files' paths begin with carp_gen, and not with carp: a Python module made
// from such a file would hide the original carp package.
func (b *builder) finish(functions []Function, methods map[string]*Method) ([]protoreflect.FileDescriptor, protoreflect.ServiceDescriptor, error) {
	known := new(protoregistry.Files)
	for _, path := range slices.Sorted(maps.Keys(b.imports)) {
		if err := register(known, b.imports[path]); err != nil {
			return nil, nil, err
		}
	}
	base := "carp_gen/" + strings.ReplaceAll(b.service, ".", "/")
	messages, err := protodesc.NewFile(b.messagesFile(base+"_messages.proto"), known)
	if err != nil {
		return nil, nil, tidy(err)
	}
	if err := known.RegisterFile(messages); err != nil {
		return nil, nil, tidy(err)
	}
	service, err := protodesc.NewFile(b.serviceFile(base+".proto", messages.Path(), functions, methods), known)
	if err != nil {
		return nil, nil, tidy(err)
	}
	return []protoreflect.FileDescriptor{messages, service}, service.Services().Get(0), nil
}

// tidy takes away protobuf's marks that its error texts are not to be relied on.
func tidy(err error) error { return fmt.Errorf("protobuf does not accept it: %w", err) }

// register adds a file and all that it imports to a registry.
func register(files *protoregistry.Files, file protoreflect.FileDescriptor) error {
	if _, err := files.FindFileByPath(file.Path()); err == nil {
		return nil
	}
	for i := range file.Imports().Len() {
		if err := register(files, file.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return files.RegisterFile(file)
}

func (b *builder) messagesFile(path string) *descriptorpb.FileDescriptorProto {
	file := &descriptorpb.FileDescriptorProto{
		Name:       proto.String(path),
		Package:    proto.String(b.pkg),
		Syntax:     proto.String("proto3"),
		Dependency: slices.Sorted(maps.Keys(b.imports)),
	}
	for _, m := range b.messages {
		file.MessageType = append(file.MessageType, m.descriptor(b.pkg))
	}
	return file
}

func (b *builder) serviceFile(path, messages string, functions []Function, methods map[string]*Method) *descriptorpb.FileDescriptorProto {
	pkg, name := "", b.service
	if dot := strings.LastIndexByte(b.service, '.'); dot >= 0 {
		pkg, name = b.service[:dot], b.service[dot+1:]
	}
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String(name)}
	for _, f := range functions {
		m := methods[f.Name]
		in, out := m.messageNames(b.pkg)
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name:            proto.String(f.Name),
			InputType:       proto.String("." + in),
			OutputType:      proto.String("." + out),
			ClientStreaming: optionalTrue(f.ItemParam != ""),
			ServerStreaming: optionalTrue(f.ServerStreaming),
		})
	}
	file := &descriptorpb.FileDescriptorProto{
		Name:       proto.String(path),
		Syntax:     proto.String("proto3"),
		Dependency: append(slices.Sorted(maps.Keys(b.imports)), messages),
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}
	if pkg != "" {
		file.Package = proto.String(pkg)
	}
	return file
}

func optionalTrue(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}

func (m *message) descriptor(pkg string) *descriptorpb.DescriptorProto {
	d := &descriptorpb.DescriptorProto{Name: proto.String(m.name)}
	for _, f := range m.fields {
		fd := f.one.descriptor(f.num, f.name)
		fd.JsonName = proto.String(f.jsonName)
		switch {
		case f.key != nil:
			entry := f.entry()
			d.NestedType = append(d.NestedType, entry)
			fd.Type = kindMessage.Enum()
			fd.TypeName = proto.String("." + pkg + "." + m.name + "." + entry.GetName())
			fd.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		case f.repeated:
			fd.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		case f.optional:
			// What proto3 calls optional is a oneof with one member.
			fd.Proto3Optional = proto.Bool(true)
			fd.OneofIndex = proto.Int32(int32(len(d.OneofDecl)))
			d.OneofDecl = append(d.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + f.name)})
		}
		d.Field = append(d.Field, fd)
	}
	return d
}

// descriptor describes a field with one value of this form.
func (s *single) descriptor(num protoreflect.FieldNumber, name string) *descriptorpb.FieldDescriptorProto {
	fd := &descriptorpb.FieldDescriptorProto{
		Name:   proto.String(name),
		Number: proto.Int32(int32(num)),
		Type:   s.kind.Enum(),
		Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if s.message != "" {
		fd.TypeName = proto.String("." + s.message)
	}
	return fd
}

// entry describes the entries of a map.
func (f *field) entry() *descriptorpb.DescriptorProto {
	return &descriptorpb.DescriptorProto{
		Name:    proto.String(entryName(f.name)),
		Field:   []*descriptorpb.FieldDescriptorProto{f.key.descriptor(numKey, "key"), f.one.descriptor(numValue, "value")},
		Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
	}
}

// entryName is the name that protobuf prescribes for the entries of a map.
func entryName(field string) string {
	var name strings.Builder
	upper := true
	for _, r := range field {
		switch {
		case r == '_':
			upper = true
		case upper:
			name.WriteString(strings.ToUpper(string(r)))
			upper = false
		default:
			name.WriteRune(r)
		}
	}
	return name.String() + "Entry"
}
