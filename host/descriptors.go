package host

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
)

// synthesized returns the protobuf form of a service of Go functions, or nil for
// a generated one. Functions without such a form are not in it.
func (s *service) synthesized() *synth.Service {
	s.synthOnce.Do(func() {
		if s.desc != nil {
			return
		}
		var functions []synth.Function
		for _, name := range sortedKeys(s.methods) {
			switch e := s.methods[name].(type) {
			case *function:
				functions = append(functions, synthFunction(name, e.sig))
			case *instanceMethod:
				functions = append(functions, synthFunction(name, e.sig))
			}
		}
		// The error is for the functions that are left out.
		s.synth, _ = synth.New(s.name, functions)
	})
	return s.synth
}

// serviceInfo is what reflection lists of a service, if it has a protobuf form.
func (s *service) serviceInfo() (grpc.ServiceInfo, bool) {
	if s.desc == nil {
		return grpc.ServiceInfo{}, s.synthesized() != nil
	}
	info := grpc.ServiceInfo{Metadata: s.desc.Metadata}
	for _, m := range s.desc.Methods {
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
	}
	for _, m := range s.desc.Streams {
		info.Methods = append(info.Methods, grpc.MethodInfo{
			Name: m.StreamName, IsClientStream: m.ClientStreams, IsServerStream: m.ServerStreams,
		})
	}
	return info, true
}

// descriptors finds the descriptors of what a host exports, for reflection:
// compiled ones first, then those made from functions. A service that is exported
// again has new ones; a registry could not forget the old.
type descriptors struct {
	exports *exports
}

var _ protodesc.Resolver = descriptors{}

// FindFileByPath implements [protodesc.Resolver].
func (d descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err == nil {
		return fd, nil
	}
	for _, s := range d.exports.all() {
		for _, fd := range files(s) {
			if fd.Path() == path {
				return fd, nil
			}
		}
	}
	return nil, err
}

// FindDescriptorByName implements [protodesc.Resolver].
func (d descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err == nil {
		return desc, nil
	}
	for _, s := range d.exports.all() {
		for _, fd := range files(s) {
			// A registry of one file indexes it by name.
			var r protoregistry.Files
			if r.RegisterFile(fd) != nil {
				continue
			}
			if desc, err := r.FindDescriptorByName(name); err == nil {
				return desc, nil
			}
		}
	}
	return nil, err
}

func files(s *service) []protoreflect.FileDescriptor {
	if synthesized := s.synthesized(); synthesized != nil {
		return synthesized.Files()
	}
	return nil
}
