package host

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	carpv1 "github.com/carp-rpc/carp-go/carpgo/v1"
	"github.com/carp-rpc/carp-go/codecs/protobuf/synth"
)

// service is what is exported under the part of a path before the method.
type service struct {
	name     string
	kind     carpv1.Export_Kind
	version  string
	metadata map[string]string
	methods  map[string]endpoint
	// idempotent are the methods of which callers are told that they are.
	idempotent map[string]bool
	internal   bool              // served, but not announced
	desc       *grpc.ServiceDesc // of a generated service

	synthOnce sync.Once
	synth     *synth.Service

	announceOnce sync.Once
	announced    *carpv1.Export
}

// exports are what a host exports. A call looks up its path without a lock.
type exports struct {
	paths sync.Map // path → endpoint

	mu       sync.Mutex
	byName   map[string]*Exported // by the name given to Export
	services map[string]*service
	audience audience

	// changed is told the name of each service that changes, with mu held.
	changed func(name string)
}

func newExports(changed func(string)) *exports {
	x := &exports{
		byName:   make(map[string]*Exported),
		services: make(map[string]*service),
		audience: audience{links: make(map[*Link]*listener), generation: 1},
		changed:  changed,
	}
	x.paths.Store(callbackPath, callbacks{})
	return x
}

// find returns the endpoint of a path, or the error for the caller.
func (x *exports) find(path string) (endpoint, error) {
	if e, ok := x.paths.Load(path); ok {
		return e.(endpoint), nil
	}
	name, method, ok := splitPath(path)
	if !ok {
		return nil, hostError(codes.Unimplemented, "malformed method name %q", path)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.services[name] == nil {
		return nil, hostError(codes.Unimplemented, "unknown service %s", name)
	}
	return nil, hostError(codes.Unimplemented, "unknown method %s for service %s", method, name)
}

// lookup returns the endpoint of a path, or nil.
func (x *exports) lookup(path string) endpoint {
	e, _ := x.paths.Load(path)
	ep, _ := e.(endpoint)
	return ep
}

// has reports whether a service is exported.
func (x *exports) has(name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.services[name] != nil
}

// service returns what is exported under the name of a service, or nil.
func (x *exports) service(name string) *service {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.services[name]
}

// add exports what s lists, all of it or nothing, as e; with replace, in the place
// of what has the name.
func (x *exports) add(e *Exported, s *service, replace bool) error {
	e.setMethods(s.name, s.methods)
	x.mu.Lock()
	defer x.mu.Unlock()
	former := x.byName[e.Name]
	if former != nil && (!replace || x.isInternal(former)) {
		return fmt.Errorf("the name is taken on this host")
	}
	old := x.services[s.name]
	if former != nil {
		old = old.without(former)
	}
	if old != nil && !old.joins(s) {
		return fmt.Errorf("%s is exported as %s already, this would make it %s",
			s.name, kindName(old.kind), kindName(s.kind))
	}
	for _, path := range e.paths {
		if x.lookup(path) != nil && (former == nil || !slices.Contains(former.paths, path)) {
			return fmt.Errorf("the path %s is taken on this host", path)
		}
	}
	own := s.methods
	s = merged(old, s)
	if n := proto.Size(s.announcement()); n > maxAnnouncement {
		return fmt.Errorf("what peers are told of %s takes %d bytes, at most %d are allowed", s.name, n, maxAnnouncement)
	}
	x.byName[e.Name] = e
	for m, ep := range own {
		x.paths.Store(joinPath(s.name, m), ep)
	}
	if former != nil {
		for _, path := range former.paths {
			if !slices.Contains(e.paths, path) {
				x.paths.Delete(path)
			}
		}
	}
	x.replace(s.name, s)
	return nil
}

// takes is the name of an exported function that has values of a type, or "". Those
// that were exported when the type was a class have references.
func (x *exports) takes(t reflect.Type) string {
	for _, s := range x.all() {
		for name, e := range s.methods {
			m, ok := e.(interface{ has(reflect.Type) bool })
			if ok && m.has(t) {
				return pathName(joinPath(s.name, name))
			}
		}
	}
	return ""
}

// without returns the service without what was exported as e, nil if nothing is
// left.
func (s *service) without(e *Exported) *service {
	left := make(map[string]endpoint, len(s.methods))
	for m, ep := range s.methods {
		if !slices.Contains(e.paths, joinPath(s.name, m)) {
			left[m] = ep
		}
	}
	if len(left) == 0 {
		return nil
	}
	return s.with(left)
}

// joins reports whether methods of both can be exported under one name: those of a
// service, and functions of a class.
func (s *service) joins(other *service) bool {
	joinable := func(k carpv1.Export_Kind) bool {
		return k == carpv1.Export_KIND_SERVICE || k == carpv1.Export_KIND_CLASS
	}
	return joinable(s.kind) && joinable(other.kind) && (s.kind == carpv1.Export_KIND_SERVICE || other.kind == carpv1.Export_KIND_SERVICE)
}

func kindName(k carpv1.Export_Kind) string {
	switch k {
	case carpv1.Export_KIND_FUNCTION:
		return "a function"
	case carpv1.Export_KIND_CLASS:
		return "a class"
	case carpv1.Export_KIND_GRPC:
		return "a generated service"
	}
	return "a service"
}

// merged adds to a service methods that are exported under other names:
// Calculator, and the function Calculator.Add. A service is not changed once it
// is in use, so that it can be read without a lock.
func merged(old, s *service) *service {
	if old == nil {
		return s
	}
	m := old.with(make(map[string]endpoint, len(old.methods)+len(s.methods)))
	m.idempotent = make(map[string]bool)
	for _, from := range []*service{old, s} {
		maps.Copy(m.methods, from.methods)
		maps.Copy(m.idempotent, from.idempotent)
	}
	if s.kind == carpv1.Export_KIND_CLASS {
		m.kind = s.kind
	}
	if m.version == "" {
		m.version = s.version
	}
	if m.metadata == nil {
		m.metadata = s.metadata
	}
	return m
}

// with returns the service with other methods.
func (s *service) with(methods map[string]endpoint) *service {
	return &service{
		name: s.name, kind: s.kind, version: s.version, metadata: s.metadata,
		methods: methods, idempotent: s.idempotent, internal: s.internal, desc: s.desc,
	}
}

// remove takes back an export.
func (x *exports) remove(name string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byName[name]
	if e == nil || x.isInternal(e) {
		return fmt.Errorf("nothing is exported under this name")
	}
	delete(x.byName, name)
	if len(e.paths) == 0 { // a generated service without methods
		x.replace(name, nil)
		return nil
	}
	serviceName, _, _ := splitPath(e.paths[0])
	for _, path := range e.paths {
		x.paths.Delete(path)
	}
	x.replace(serviceName, x.services[serviceName].without(e))
	return nil
}

func (x *exports) isInternal(e *Exported) bool {
	s := x.services[e.Name]
	return s != nil && s.internal
}

// replace puts a service in the place of what had its name, nil for none.
func (x *exports) replace(name string, s *service) {
	if s == nil {
		delete(x.services, name)
	} else {
		x.services[name] = s
		if s.internal {
			return
		}
	}
	x.announce(name)
	x.changed(name)
}

// all returns the services that there are, in the order of their names.
func (x *exports) all() []*service {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.allLocked()
}

func (x *exports) allLocked() []*service {
	list := make([]*service, 0, len(x.services))
	for _, s := range x.services {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *service) int { return strings.Compare(a.name, b.name) })
	return list
}

// announcement is a service as peers are told of it. It is not changed.
func (s *service) announcement() *carpv1.Export {
	s.announceOnce.Do(func() { s.announced = s.describe() })
	return s.announced
}

func (s *service) describe() *carpv1.Export {
	e := &carpv1.Export{Name: s.name, Kind: s.kind, Version: s.version, Metadata: s.metadata}
	for _, name := range sortedKeys(s.methods) {
		m := s.methods[name].announce(name)
		m.Idempotent = s.idempotent[name]
		e.Methods = append(e.Methods, m)
	}
	return e
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
