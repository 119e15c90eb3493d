//go:build !linux

package shm

import "runtime"

// cpus is how many CPUs this process may run on.
func cpus() int { return runtime.NumCPU() }
