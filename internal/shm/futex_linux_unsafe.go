//go:build linux

package shm

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The shared kind: FUTEX_PRIVATE_FLAG would look for waiters in this process only.
const (
	futexOpWait = 0
	futexOpWake = 1
)

// futexWait sleeps while *word is value, at most for limit. It may wake up early. It
// must be a Syscall, which lets the scheduler take the processor away.
func futexWait(word *atomic.Uint32, value uint32, limit time.Duration) {
	ts := unix.NsecToTimespec(int64(limit))
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexOpWait,
		uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// futexWake wakes who sleeps on word.
func futexWake(word *atomic.Uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexOpWake, 1, 0, 0, 0)
}
