//go:build !linux

package bench

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

func machineBusy() time.Duration { return 0 }

func threads() int { return 0 }

func pinned(cpus []int, start func() error) error {
	if cpus == nil {
		return start()
	}
	return fmt.Errorf("pin a process to CPUs on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
