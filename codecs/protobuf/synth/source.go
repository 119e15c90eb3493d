package synth

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Source returns the service's files as protobuf source, by their paths: what a
// client's author gives to protoc. Files that they import and that others have
// written, such as google/protobuf/timestamp.proto and carpgo/v1/carp.proto, are
// not among them.
func (s *Service) Source() map[string]string {
	sources := make(map[string]string, len(s.files))
	for _, file := range s.files {
		sources[file.Path()] = source(file)
	}
	return sources
}

// printer writes protobuf source. It knows what [builder] makes and nothing else.
type printer struct {
	strings.Builder
	indent string
}

func (p *printer) line(format string, args ...any) {
	if format != "" {
		p.WriteString(p.indent)
	}
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *printer) block(head string, body func()) {
	p.line("%s {", head)
	p.indent += "  "
	body()
	p.indent = p.indent[2:]
	p.line("}")
}

func source(file protoreflect.FileDescriptor) string {
	p := new(printer)
	p.line("// Made from Go functions. Do not edit.")
	p.line(`syntax = "proto3";`)
	if file.Package() != "" {
		p.line("")
		p.line("package %s;", file.Package())
	}
	for i := range file.Imports().Len() {
		if i == 0 {
			p.line("")
		}
		p.line("import %q;", file.Imports().Get(i).Path())
	}
	for i := range file.Messages().Len() {
		p.line("")
		p.message(file.Messages().Get(i))
	}
	for i := range file.Services().Len() {
		p.line("")
		p.service(file.Services().Get(i))
	}
	return p.String()
}

func (p *printer) message(md protoreflect.MessageDescriptor) {
	if md.Fields().Len() == 0 {
		p.line("message %s {}", md.Name())
		return
	}
	p.block("message "+string(md.Name()), func() {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			options := ""
			if fd.JSONName() != defaultJSONName(string(fd.Name())) {
				options = fmt.Sprintf(" [json_name = %q]", fd.JSONName())
			}
			p.line("%s %s = %d%s;", fieldType(fd), fd.Name(), fd.Number(), options)
		}
	})
}

// fieldType is what stands before the name of a field.
func fieldType(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeName(fd.MapKey()), typeName(fd.MapValue()))
	case fd.IsList():
		return "repeated " + typeName(fd)
	case fd.HasOptionalKeyword():
		return "optional " + typeName(fd)
	default:
		return typeName(fd)
	}
}

// typeName is the name of a type, seen from everywhere.
func typeName(fd protoreflect.FieldDescriptor) string {
	if md := fd.Message(); md != nil {
		return "." + string(md.FullName())
	}
	return fd.Kind().String()
}

// defaultJSONName is the JSON name that a field has if none is given.
func defaultJSONName(name string) string {
	var json strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r == '_':
			upper = true
		case upper:
			json.WriteString(strings.ToUpper(string(r)))
			upper = false
		default:
			json.WriteRune(r)
		}
	}
	return json.String()
}

func (p *printer) service(sd protoreflect.ServiceDescriptor) {
	p.block("service "+string(sd.Name()), func() {
		for i := range sd.Methods().Len() {
			md := sd.Methods().Get(i)
			p.line("rpc %s(%s.%s) returns (%s.%s);", md.Name(),
				stream(md.IsStreamingClient()), md.Input().FullName(),
				stream(md.IsStreamingServer()), md.Output().FullName())
		}
	})
}

func stream(is bool) string {
	if is {
		return "stream "
	}
	return ""
}
