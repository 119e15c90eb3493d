package synth

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Function is the signature of one method, without its context and its error.
type Function struct {
	// Name is the last element of the method's path.
	Name string

	// Params are the parameters. The fields of the request have their names
	// and, as numbers, their places counted from 1.
	Params []Param

	// Results are the types of the results. The fields of the response are
	// "result", "result2" and so on.
	Results []reflect.Type

	// ItemParam is the name of the parameter that the caller streams, if it
	// streams one; its type is that of an item.
	ItemParam string

	// ServerStreaming says that the function returns many values, of the type
	// of its only result.
	ServerStreaming bool
}

// Param is a parameter.
type Param struct {
	// Name is what the caller calls it: a protobuf identifier.
	Name string
	Type reflect.Type
}

// Service is a set of methods with descriptors for them. It is immutable, and
// safe for concurrent use.
type Service struct {
	methods map[string]*Method
	files   []protoreflect.FileDescriptor
	desc    protoreflect.ServiceDescriptor
}

// New makes messages and descriptors for the methods of a service. Its name is
// that in the path: identifiers joined by dots. Functions with a parameter or
// result that protobuf can't express are left out; the error, which then comes
// with a service that has the others, joins one for each of them. It is a [*Error].
// Without any function left, the service is nil.
func New(name string, functions []Function) (*Service, error) {
	if !validName(name) {
		return nil, fmt.Errorf("synth: service %q: want identifiers joined by dots", name)
	}
	var fit []Function
	var errs []error
	for _, f := range functions {
		if err := try(name, f); err != nil {
			errs = append(errs, &Error{Service: name, Method: f.Name, Err: err})
			continue
		}
		fit = append(fit, f)
	}
	if len(fit) == 0 {
		return nil, errors.Join(errs...)
	}
	s, err := build(name, fit)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	return s, errors.Join(errs...)
}

// Error says why a function has no protobuf form.
type Error struct {
	Service, Method string
	Err             error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("synth: /%s/%s has no protobuf form: %v", e.Service, e.Method, e.Err)
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// try finds out whether a function can be expressed, by doing it.
func try(service string, f Function) error {
	_, err := build(service, []Function{f})
	return err
}

// build makes a service all of whose functions must be expressible.
func build(name string, functions []Function) (*Service, error) {
	b := newBuilder(name)
	s := &Service{methods: make(map[string]*Method, len(functions))}
	for _, f := range functions {
		if s.methods[f.Name] != nil {
			return nil, fmt.Errorf("a second method of that name")
		}
		m, err := b.method(f)
		if err != nil {
			return nil, err
		}
		s.methods[f.Name] = m
	}
	files, desc, err := b.finish(functions, s.methods)
	if err != nil {
		return nil, err
	}
	s.files, s.desc = files, desc
	return s, nil
}

// Method returns the method of that name, or nil.
func (s *Service) Method(name string) *Method { return s.methods[name] }

// Descriptor returns the service's descriptor.
func (s *Service) Descriptor() protoreflect.ServiceDescriptor { return s.desc }

// Files returns the files of the service: that with its messages first, then that
// with the service itself. What these import is not among them.
func (s *Service) Files() []protoreflect.FileDescriptor { return s.files }

// validName reports whether s is identifiers joined by dots.
func validName(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !protoreflect.Name(part).IsValid() {
			return false
		}
	}
	return true
}

// ownMessage returns the descriptor of t if it is a pointer to a generated
// message.
func ownMessage(t reflect.Type) protoreflect.MessageDescriptor {
	if t.Kind() != reflect.Pointer || !t.Implements(reflect.TypeFor[proto.Message]()) {
		return nil
	}
	if t == reflect.TypeFor[*dynamicpb.Message]() {
		return nil // its descriptor is in the value, not in the type
	}
	return reflect.Zero(t).Interface().(proto.Message).ProtoReflect().Descriptor()
}
