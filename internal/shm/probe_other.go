//go:build !linux

package shm

import "runtime"

func (systemProbe) cpus() int          { return runtime.NumCPU() }
func (systemProbe) throttled() uint64  { return 0 }
func (systemProbe) sharesCPU(int) bool { return true }

func yieldCPU() {}
