// Package sync stands in for the standard package of that name in code that is
// explored. See package explore.
package sync

import (
	"sync"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// Once is [sync.Once]: what it runs must wait for no other thread.
type Once = sync.Once

// Pool is [sync.Pool].
type Pool = sync.Pool

// WaitGroup is [sync.WaitGroup]. It can be used outside explorations only.
type WaitGroup = sync.WaitGroup

// Mutex stands in for [sync.Mutex].
type Mutex struct {
	mu     sync.Mutex // outside an exploration
	locked bool       // inside
}

// Lock waits for the mutex and takes it.
func (m *Mutex) Lock() {
	if !explore.When(m, explore.Acquire, func() bool { return !m.locked }) {
		m.mu.Lock()
		return
	}
	m.locked = true
}

// TryLock takes the mutex if nobody has it.
func (m *Mutex) TryLock() bool {
	if !explore.Touch(m, explore.Write) {
		return m.mu.TryLock()
	}
	if m.locked {
		return false
	}
	m.locked = true
	return true
}

// Unlock gives the mutex back.
func (m *Mutex) Unlock() {
	if !explore.Touch(m, explore.Release) {
		m.mu.Unlock()
		return
	}
	if !m.locked && !explore.Aborted() {
		panic("explore: unlock of an unlocked mutex")
	}
	m.locked = false
}
