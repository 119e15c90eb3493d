//go:build !linux

package shm

import (
	"sync/atomic"
	"time"
)

func futexWait(*atomic.Uint32, uint32, time.Duration) {}
func futexWake(*atomic.Uint32)                        {}
