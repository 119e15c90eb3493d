// Package atomic stands in for sync/atomic in code that is explored. See package
// explore.
package atomic

import (
	"sync/atomic"

	"github.com/carp-rpc/carp-go/internal/explore"
)

// Int64 is not explored: it counts references, whose order makes no difference but at
// the last one.
type Int64 = atomic.Int64

// Int32 stands in for [atomic.Int32].
type Int32 struct{ v atomic.Int32 }

// Load is a step that reads.
func (x *Int32) Load() int32 {
	explore.Touch(x, explore.Read)
	return x.v.Load()
}

// Peek is Load without a step: for a condition of [explore.When].
func (x *Int32) Peek() int32 { return x.v.Load() }

// Store is a step that writes.
func (x *Int32) Store(v int32) {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	x.v.Store(v)
}

// Add is a step that writes.
func (x *Int32) Add(d int32) int32 {
	explore.Touch(x, explore.Write)
	return x.v.Add(d)
}

// CompareAndSwap is a step that writes.
func (x *Int32) CompareAndSwap(old, v int32) bool {
	explore.TouchUnless(x, func() bool { return x.v.Load() != old })
	return x.v.CompareAndSwap(old, v)
}

// Uint32 stands in for [atomic.Uint32]. It has the same size and alignment.
type Uint32 struct{ v atomic.Uint32 }

// Load is a step that reads.
func (x *Uint32) Load() uint32 {
	explore.Touch(x, explore.Read)
	return x.v.Load()
}

// Store is a step that writes.
func (x *Uint32) Store(v uint32) {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	x.v.Store(v)
}

// Add is a step that writes.
func (x *Uint32) Add(d uint32) uint32 {
	explore.Touch(x, explore.Write)
	return x.v.Add(d)
}

// CompareAndSwap is a step that writes.
func (x *Uint32) CompareAndSwap(old, v uint32) bool {
	explore.TouchUnless(x, func() bool { return x.v.Load() != old })
	return x.v.CompareAndSwap(old, v)
}

// Swap is a step that writes.
func (x *Uint32) Swap(v uint32) uint32 {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	return x.v.Swap(v)
}

// Uint64 stands in for [atomic.Uint64]. It has the same size and alignment.
type Uint64 struct{ v atomic.Uint64 }

// Load is a step that reads.
func (x *Uint64) Load() uint64 {
	explore.Touch(x, explore.Read)
	return x.v.Load()
}

// Store is a step that writes.
func (x *Uint64) Store(v uint64) {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	x.v.Store(v)
}

// Bool stands in for [atomic.Bool].
type Bool struct{ v atomic.Bool }

// Load is a step that reads.
func (x *Bool) Load() bool {
	explore.Touch(x, explore.Read)
	return x.v.Load()
}

// Store is a step that writes.
func (x *Bool) Store(v bool) {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	x.v.Store(v)
}

// CompareAndSwap is a step that writes.
func (x *Bool) CompareAndSwap(old, v bool) bool {
	explore.TouchUnless(x, func() bool { return x.v.Load() != old })
	return x.v.CompareAndSwap(old, v)
}

// Swap is a step that writes.
func (x *Bool) Swap(v bool) bool {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	return x.v.Swap(v)
}

// Pointer stands in for [atomic.Pointer].
type Pointer[T any] struct{ v atomic.Pointer[T] }

// Load is a step that reads.
func (x *Pointer[T]) Load() *T {
	explore.Touch(x, explore.Read)
	return x.v.Load()
}

// Store is a step that writes.
func (x *Pointer[T]) Store(v *T) {
	explore.TouchUnless(x, func() bool { return x.v.Load() == v })
	x.v.Store(v)
}

// CompareAndSwap is a step that writes.
func (x *Pointer[T]) CompareAndSwap(old, v *T) bool {
	explore.TouchUnless(x, func() bool { return x.v.Load() != old })
	return x.v.CompareAndSwap(old, v)
}

// AddUint32 is not explored: it counts.
func AddUint32(x *uint32, d uint32) uint32 { return atomic.AddUint32(x, d) }

// LoadUint32 is not explored: see AddUint32.
func LoadUint32(x *uint32) uint32 { return atomic.LoadUint32(x) }
