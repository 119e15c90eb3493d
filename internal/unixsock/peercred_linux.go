package unixsock

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerCred asks the kernel who is at the other end of the unix socket c
// (SO_PEERCRED). Numbers are as this process sees them: a peer in another PID
// namespace may have PID 0, one in another user namespace the overflow UID.
func PeerCred(c syscall.Conn) (Cred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Cred{}, err
	}
	var ucred *unix.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		ucred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil {
		return Cred{}, err
	}
	if sockErr != nil {
		return Cred{}, os.NewSyscallError("getsockopt SO_PEERCRED", sockErr)
	}
	return Cred{PID: int(ucred.Pid), UID: ucred.Uid, GID: ucred.Gid}, nil
}
