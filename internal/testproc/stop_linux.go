package testproc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Stop stops the child, as SIGSTOP does, and returns when all its threads stand still.
// Signal with SIGCONT lets it go on.
func (p *Proc) Stop() {
	p.tb.Helper()
	p.Signal(unix.SIGSTOP)
	for {
		// The kernel tells the parent when the last thread has stopped.
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			p.tb.Errorf("testproc: wait until %s stands still: %v", p.role, err)
		}
		return
	}
}
