//go:build amd64 || 386 || arm64

package shm

// pause executes n of the processor's spin-wait hints, n > 0. It is short, because
// the scheduler can't preempt assembly.
//
//go:noescape
func pause(n uint32)
