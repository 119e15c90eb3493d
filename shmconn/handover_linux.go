package shmconn

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// copyOf makes a copy of a socket's descriptor. net's own File won't do: giving what it
// returns to a child makes the socket blocking, for this process too, whose accept then
// can't be ended.
func copyOf(sock syscall.Conn) (*os.File, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	ctlErr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(ctlErr, err); err != nil {
		return nil, fmt.Errorf("copy the descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), "listening socket"), nil
}

// checkListening makes sure that sock is a listening stream socket.
func checkListening(sock syscall.Conn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var listening, kind int
	ctlErr := raw.Control(func(fd uintptr) {
		if listening, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil {
			kind, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		}
	})
	if err := errors.Join(ctlErr, err); err != nil {
		return err
	}
	if listening == 0 || kind != unix.SOCK_STREAM {
		return errors.New("not a listening stream socket")
	}
	return nil
}

// The first descriptor that is passed, and the most that are taken.
const (
	firstPassed = 3
	mostPassed  = 1000
)

// InheritedFiles are the sockets that systemd passed to this process, or another one that
// it takes over from (sd_listen_fds(3)): LISTEN_FDS of them from descriptor 3 on, if
// LISTEN_PID is this process or not set, each with a name from LISTEN_FDNAMES. The
// variables are removed, so that no child takes them for its own; a second call
// returns none. Without the variables there are no files and no error.
func InheritedFiles() ([]*os.File, error) {
	count, pid, names := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if count == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > mostPassed {
		return nil, fmt.Errorf("LISTEN_FDS=%q: want a number from 0 to %d", count, mostPassed)
	}
	files := make([]*os.File, 0, n)
	for i := range n {
		fd := firstPassed + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS=%d: descriptor %d: %w", n, fd, err)
		}
		unix.CloseOnExec(fd)
		name := "LISTEN_FD_" + strconv.Itoa(fd)
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		files = append(files, os.NewFile(uintptr(fd), name))
	}
	return files, nil
}
