package host

import (
	"fmt"
	"os"
	"path/filepath"
)

// ProtoSource returns, by path, the .proto files of a service of Go functions: what
// protoc needs to generate clients in other languages. They import
// carpgo/v1/carp.proto, which is in this module, where a function takes or returns
// values of any type or references to objects, and else at most what comes with protoc.
// A class is a service too: its constructor is the method "call", and its other methods
// are called with the metadata carp-session and carp-instance. Methods that
// protobuf can't express are left out; they can be called with the codecs msgpack,
// json and carp. Service is the part of the name before the method: "Calculator",
// or "f" for a function f.
//
// Field numbers are the order of the parameters, and of a struct's fields: who
// changes that breaks clients that were generated before.
func (h *Host) ProtoSource(service string) (map[string]string, error) {
	s := h.exports.service(service)
	if s == nil {
		return nil, fmt.Errorf("host %q: no service %q is exported", h.label, service)
	}
	if s.desc != nil {
		return nil, fmt.Errorf("host %q: %q was generated from a .proto file, %v", h.label, service, s.desc.Metadata)
	}
	synthesized := s.synthesized()
	if synthesized == nil {
		return nil, fmt.Errorf("host %q: protobuf can't express any of the functions of %q", h.label, service)
	}
	return synthesized.Source(), nil
}

// WriteProto writes the files of [Host.ProtoSource] below the directory dir, which
// is made if it isn't there, and returns their paths within it.
func (h *Host) WriteProto(dir, service string) ([]string, error) {
	files, err := h.ProtoSource(service)
	if err != nil {
		return nil, err
	}
	paths := sortedKeys(files)
	for _, path := range paths {
		if !filepath.IsLocal(filepath.FromSlash(path)) {
			return nil, fmt.Errorf("host %q: the file %q of %q would not be in %s", h.label, path, service, dir)
		}
		name := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // for others to read, like source
			return nil, err
		}
		if err := os.WriteFile(name, []byte(files[path]), 0o644); err != nil { //nolint:gosec // the same
			return nil, err
		}
	}
	return paths, nil
}
