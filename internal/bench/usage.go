package bench

import (
	"runtime"
	"time"
)

// Usage is what a process has used since it began.
type Usage struct {
	CPU     time.Duration // user and system; 0 where it can't be told
	Threads int           // OS threads that it has now; 0 where that can't be told
	Mallocs uint64        // objects allocated on Go's heap
	Bytes   uint64        // bytes allocated there
	GCs     uint32        // collections of that heap
}

// TakeUsage reads this process's usage. It stops the world for a moment.
func TakeUsage() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{CPU: processCPU(), Threads: threads(), Mallocs: m.Mallocs, Bytes: m.TotalAlloc, GCs: m.NumGC}
}

// Since is what was used from before to u.
func (u Usage) Since(before Usage) Usage {
	u.CPU -= before.CPU
	u.Mallocs -= before.Mallocs
	u.Bytes -= before.Bytes
	u.GCs -= before.GCs
	return u
}
