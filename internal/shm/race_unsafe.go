//go:build race

package shm

import (
	"runtime"
	"unsafe"
)

// The race detector doesn't see atomics in mapped memory, so it would report
// what one goroutine wrote before Publish and another reads after Len. One word
// stands for all rings, as package syscall does for all file descriptors: it
// can hide a race between users of different rings, but never invents one.
var raceWord byte

func raceRelease() { runtime.RaceReleaseMerge(unsafe.Pointer(&raceWord)) }
func raceAcquire() { runtime.RaceAcquire(unsafe.Pointer(&raceWord)) }
