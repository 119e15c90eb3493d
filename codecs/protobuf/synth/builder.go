package synth

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// builder makes the messages of a service.
type builder struct {
	service string
	pkg     string // of the messages

	singles  map[reflect.Type]*single
	messages []*message
	names    map[string]bool // of messages
	imports  map[string]protoreflect.FileDescriptor
}

// pkgPrefix begins the package of the messages. It must not be the package of the
// service itself: a package and a service can't have one name.
const pkgPrefix = "carp.gen."

func newBuilder(service string) *builder {
	return &builder{
		service: service,
		pkg:     pkgPrefix + service,
		singles: make(map[reflect.Type]*single),
		names:   make(map[string]bool),
		imports: make(map[string]protoreflect.FileDescriptor),
	}
}

// messageName returns a name for the message of a Go type, made from that type's
// own name.
func (b *builder) messageName(t reflect.Type) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, withoutPackages(t.Name()))
	if name == "" {
		name = "Struct"
	}
	return b.unique(name)
}

// withoutPackages leaves out the paths of packages in the name of an instantiated
// generic type.
func withoutPackages(name string) string {
	base, params, ok := strings.Cut(name, "[")
	if !ok {
		return name
	}
	for param := range strings.SplitSeq(strings.TrimSuffix(params, "]"), ",") {
		base += "_" + param[strings.LastIndexAny(param, "/.")+1:]
	}
	return base
}

// unique returns name, or name with a number, and takes it.
func (b *builder) unique(name string) string {
	free := name
	for i := 2; b.names[free]; i++ {
		free = fmt.Sprintf("%s_%d", name, i)
	}
	b.names[free] = true
	return free
}

// method makes the request and response of a function.
func (b *builder) method(f Function) (*Method, error) {
	if !protoreflect.Name(f.Name).IsValid() {
		return nil, fmt.Errorf("%q is not an identifier", f.Name)
	}
	m := &Method{function: f}
	if b.own(m) {
		return m, nil
	}
	var err error
	if m.request, err = b.request(f); err != nil {
		return nil, err
	}
	if m.response, err = b.response(f); err != nil {
		return nil, err
	}
	m.index()
	return m, nil
}

// own uses the messages that a function takes and returns already, if it has one
// parameter and one result and both are messages: the method is then one like
// those of a generated service.
func (b *builder) own(m *Method) bool {
	f := m.function
	if len(f.Params) != 1 || len(f.Results) != 1 {
		return false
	}
	in, out := ownMessage(f.Params[0].Type), ownMessage(f.Results[0])
	if in == nil || out == nil {
		return false
	}
	m.in, m.out = b.messageForm(f.Params[0].Type), b.messageForm(f.Results[0])
	m.own = true
	return true
}

func (b *builder) request(f Function) (*message, error) {
	m := &message{name: b.unique(f.Name + "Request")}
	b.messages = append(b.messages, m)
	seen := make(map[string]bool)
	for i, p := range f.Params {
		if !protoreflect.Name(p.Name).IsValid() {
			return nil, fmt.Errorf("parameter %d: %q is not an identifier", i+1, p.Name)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("a second parameter named %s", p.Name)
		}
		seen[p.Name] = true
		field, err := b.field(protowire.Number(i+1), p.Name, p.Type, true)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		m.fields = append(m.fields, field)
	}
	return m, nil
}

func (b *builder) response(f Function) (*message, error) {
	m := &message{name: b.unique(f.Name + "Response")}
	b.messages = append(b.messages, m)
	for i, t := range f.Results {
		name := "result"
		if i > 0 {
			name = fmt.Sprintf("result%d", i+1)
		}
		field, err := b.field(protowire.Number(i+1), name, t, true)
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", i+1, err)
		}
		m.fields = append(m.fields, field)
	}
	return m, nil
}
