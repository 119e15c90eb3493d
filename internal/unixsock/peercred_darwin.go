package unixsock

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerCred asks the kernel who is at the other end of the unix socket c
// (LOCAL_PEERCRED, LOCAL_PEERPID).
func PeerCred(c syscall.Conn) (Cred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Cred{}, err
	}
	var xucred *unix.Xucred
	var pid int
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		if xucred, sockErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); sockErr == nil {
			pid, sockErr = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		}
	})
	if err != nil {
		return Cred{}, err
	}
	if sockErr != nil {
		return Cred{}, os.NewSyscallError("getsockopt LOCAL_PEERCRED", sockErr)
	}
	return Cred{PID: pid, UID: xucred.Uid, GID: xucred.Groups[0]}, nil
}
