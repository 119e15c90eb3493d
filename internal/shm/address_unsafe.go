package shm

import "unsafe"

// addressOf is where b begins, modulo what an int holds: for alignment only.
func addressOf(b []byte) int { return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (1<<30 - 1)) }
