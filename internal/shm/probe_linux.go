package shm

import (
	"golang.org/x/sys/unix"
)

func (systemProbe) cpus() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 1
	}
	return set.Count()
}

// sharesCPU assumes the worst of a peer whose process can't be seen.
func (systemProbe) sharesCPU(pid int) bool {
	var ours, theirs unix.CPUSet
	if pid == 0 || unix.SchedGetaffinity(0, &ours) != nil || unix.SchedGetaffinity(pid, &theirs) != nil {
		return true
	}
	return ours.Count() == 1 && ours == theirs
}

// yieldCPU lets another thread have the CPU. It must be a Syscall: to get it back may
// take long.
func yieldCPU() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
