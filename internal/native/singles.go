package native

import (
	"sync"
	"sync/atomic"

	"github.com/carp-rpc/carp-go/internal/direct"
)

// singles are the methods with one message each way that the handler of unknown methods
// takes. Each has one of its own because direct keeps in it how quick the method is.
type singles struct {
	methods sync.Map // of *method, by full name
	count   atomic.Int32
}

// maxSingles bounds how many are kept: names may come and go.
const maxSingles = 4096

// unregistered is what serves a method that nobody registered.
func (s *Server) unregistered(name string) *direct.Method {
	if s.cfg.Single == nil || !s.cfg.Single(name) {
		return &s.unknown.Method
	}
	if m, ok := s.singles.methods.Load(name); ok {
		return &m.(*method).Method
	}
	if s.singles.count.Add(1) > maxSingles {
		s.singles.count.Add(-1)
		return &s.unknown.Method
	}
	m := s.newMethod("", nil)
	m.stream, m.Unary = s.unknown.stream, true
	kept, _ := s.singles.methods.LoadOrStore(name, m)
	return &kept.(*method).Method
}
